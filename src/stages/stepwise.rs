//! Importance in steps (Muralidharan et al. 2024, arXiv:2407.14679, section 2.2): measured, cut a part of the way, and
//! measured again of what is left.
//!
//! Step *i* of *T* cuts each width from `d_s - i (d_s - d_t)/T` to `d_s - (i + 1) (d_s - d_t)/T`, rounded as the recipe
//! rounds. Layers go at the first step; key-value heads are merged at the last. Each later measurement is a run inside
//! of this one, `importance/step-<i>`, that seals as any does.

use std::sync::Arc;

use super::context::Context;
use super::data::Data;
use super::{models, observe};
use crate::error::Error;
use crate::model::ModelConfig;
use crate::prune::{PrunePlan, cut};
use crate::recipe::{Prune, Recipe};

/// The plan that `steps` measurements make, of which the stage `observe` made the first.
///
/// # Errors
/// [`Error::Plan`] if sizes do not fit; as [`observe::observe`].
pub fn stepwise(
    ctx: &Arc<Context>,
    data: &Data,
    prune: &Prune,
    steps: u64,
    layers: &[usize],
    student: &ModelConfig,
) -> Result<PrunePlan, Error> {
    let uncut = models::uncut(ctx, data)?;
    let sizes = |step| part_way(&uncut.config, student, prune.round_to, step, steps);
    let mut plan = PrunePlan::choose(&uncut.config, &sizes(1), layers, &observe::scores(ctx)?)?;
    let again =
        Prune { importance: None, importance_steps: 1, norm_compensation: false, ..prune.clone() };
    for step in 1..steps {
        let recipe = Recipe { prune: Some(again.clone()), ..ctx.run.recipe.clone() };
        let inner = ctx.within(&format!("importance/step-{step}"), recipe, ctx.workers)?;
        let model = cut(&uncut, &plan)?;
        if inner.run.seal(observe::STAGE).is_none() {
            observe::measure(&inner, data, &again, &model)?;
        }
        let all: Vec<usize> = (0..model.config.num_hidden_layers).collect();
        let scores = observe::scores(&inner)?;
        let next = PrunePlan::choose(&model.config, &sizes(step + 1), &all, &scores)?;
        plan = plan.then(&next, &uncut.config)?;
        ctx.progress.say(&format!(
            "{:>9}: importance measured {} of {steps} times",
            "prune",
            step + 1
        ));
    }
    Ok(plan)
}

/// The shape after `step` of `steps` steps.
fn part_way(
    whole: &ModelConfig,
    student: &ModelConfig,
    round_to: usize,
    step: u64,
    steps: u64,
) -> ModelConfig {
    if step >= steps {
        return student.clone();
    }
    let between = |whole: usize, least: usize, multiple_of: usize| {
        let gone = (whole - least.min(whole)) as u64 * step / steps.max(1);
        let stays = whole - usize::try_from(gone).unwrap_or(whole);
        // Rounded up, so that what is to stay at the end is there.
        stays.next_multiple_of(multiple_of.max(1)).clamp(least, whole)
    };
    let groups = whole.num_key_value_heads;
    ModelConfig {
        hidden_size: between(whole.hidden_size, student.hidden_size, round_to),
        intermediate_size: between(whole.intermediate_size, student.intermediate_size, round_to),
        num_attention_heads: between(
            whole.num_attention_heads,
            student.num_attention_heads.next_multiple_of(groups),
            groups,
        ),
        num_key_value_heads: groups,
        num_hidden_layers: student.num_hidden_layers,
        ..whole.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::described;

    #[test]
    fn widths_go_in_equal_parts_and_layers_at_once() {
        let whole = described("llama-3.1-8b").unwrap();
        let student = ModelConfig {
            hidden_size: 3072,
            intermediate_size: 9216,
            num_attention_heads: 24,
            num_key_value_heads: 4,
            num_hidden_layers: 20,
            ..whole.clone()
        };
        let sizes = |step| {
            let config = part_way(&whole, &student, 64, step, 4);
            assert_eq!(config.num_hidden_layers, 20);
            (
                config.hidden_size,
                config.intermediate_size,
                config.num_attention_heads,
                config.num_key_value_heads,
            )
        };
        assert_eq!(sizes(1), (3840, 13056, 32, 8));
        assert_eq!(sizes(2), (3584, 11776, 32, 8));
        assert_eq!(sizes(3), (3328, 10496, 32, 8));
        assert_eq!(sizes(4), (3072, 9216, 24, 4));
    }
}
