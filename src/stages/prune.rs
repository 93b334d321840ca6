//! Scores into a plan: no state, no randomness, one file.

use std::path::Path;
use std::sync::Arc;

use datasets::store::{digest_file, write_atomic};
use serde_json::json;

use super::context::Context;
use super::depth;
use super::models;
use super::observe::{residual, scores, scores_digest};
use super::stepwise::stepwise;
use crate::error::Error;
use crate::model::ModelConfig;
use crate::prune::{PlanError, PrunePlan, Residual, Scores};
use crate::recipe::{Prune, read_plan};

/// Its name.
pub const STAGE: &str = "prune";

/// Writes `plan.toml`, if the recipe prunes and it is not written.
///
/// # Errors
/// [`Error::Plan`] if the sizes do not fit the teacher; see [`Error`].
pub fn prune(ctx: &Arc<Context>, data: &super::data::Data) -> Result<(), Error> {
    let recipe = &ctx.run.recipe;
    let Some(prune) = &recipe.prune else { return Ok(()) };
    let path = models::plan_path(ctx);
    if let Some(seal) = ctx.run.seal(STAGE) {
        // Another plan is another student: what is sealed is the recipe's.
        let is_sealed =
            digest_file(&path).is_ok_and(|digest| seal.result["plan"] == digest.to_string());
        if is_sealed || ctx.run.is_over() {
            return Ok(());
        }
        ctx.progress.say(&format!(
            "warning: `{}` is not what was sealed; it is chosen anew (a plan of your own: `prune.plan`, in another run)",
            path.display()
        ));
    }
    let teacher = models::uncut_config(ctx, data)?;
    let student = match super::search::shape(ctx, &teacher)? {
        Some(searched) => searched,
        None => recipe.student_config(&teacher)?,
    };
    let digest = models::uncut_digest(ctx)?;
    let mut plan = match &prune.plan {
        Some(own) => {
            let plan = read_plan(Path::new(own), Some(&teacher))?;
            plan.check_origin(&digest, None)?;
            plan
        }
        None => choose(ctx, data, prune, &teacher, &student)?,
    };
    plan.teacher = Some(digest);
    let malformed = |error: toml::ser::Error| Error::Malformed {
        path: path.clone(),
        reason: error.to_string(),
    };
    let text = toml::to_string(&plan).map_err(malformed)?;
    let written = write_atomic(&path, |file| file.write_all(text.as_bytes()))?;
    let (before, after) = (teacher.num_parameters(), plan.student(&teacher).num_parameters());
    ctx.progress.say(&format!("{STAGE:>9}: {before} parameters to {after}"));
    let plan = written.digest.to_string();
    ctx.run.write_seal(
        STAGE,
        json!({"plan": plan, "parameters_before": before, "parameters_after": after}),
    )?;
    Ok(())
}

/// What the scores and the recipe say.
fn choose(
    ctx: &Arc<Context>,
    data: &super::data::Data,
    prune: &Prune,
    teacher: &ModelConfig,
    student: &ModelConfig,
) -> Result<PrunePlan, Error> {
    let layers = depth::kept(ctx, prune, teacher, student.num_hidden_layers)?;
    let residual = residual(ctx, teacher)?;
    let mut plan = match prune.importance_steps {
        0 | 1 => planned(prune, teacher, student, &layers, &scores(ctx)?, residual.as_ref())?,
        steps => {
            let mut plan = stepwise(ctx, data, prune, steps, &layers, student)?;
            if let Some(residual) = &residual {
                plan.compensate(residual);
            }
            plan
        }
    };
    plan.scores = scores_digest(ctx);
    Ok(plan)
}

/// The plan of a shape by scores: what stays, what is added to it, and what makes up for what goes.
///
/// # Errors
/// [`PlanError`] if the shape or the scores do not fit.
pub fn planned(
    prune: &Prune,
    uncut: &ModelConfig,
    student: &ModelConfig,
    layers: &[usize],
    scores: &Scores,
    residual: Option<&Residual>,
) -> Result<PrunePlan, PlanError> {
    let mut plan = PrunePlan::choose(uncut, student, layers, scores)?;
    if !prune.head_add_back.is_off() {
        plan.pair_heads(uncut, scores, prune.head_add_back);
    }
    if let Some(residual) = residual {
        plan.compensate(residual);
    }
    Ok(plan)
}
