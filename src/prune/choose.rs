//! The best of every axis, by scores.

use super::add_back::{HeadAddBack, pairs};
use super::fit::PlanError;
use super::plan::{LayerPlan, PrunePlan, SCHEMA};
use super::scores::Scores;
use crate::model::ModelConfig;

impl PrunePlan {
    /// Keeps the best of every axis, down to the student's sizes; `sources` are the layers that stay.
    ///
    /// Query heads are ranked inside the student's key-value groups. Where the student has fewer of those, neighbours
    /// become one, and it keeps query heads of all of them.
    ///
    /// # Errors
    ///
    /// If the scores are another model's, or the sizes do not fit.
    pub fn choose(
        teacher: &ModelConfig,
        student: &ModelConfig,
        sources: &[usize],
        scores: &Scores,
    ) -> Result<Self, PlanError> {
        check_scores(teacher, scores)?;
        let groups = student.num_key_value_heads;
        if groups == 0 || !teacher.num_key_value_heads.is_multiple_of(groups) {
            let (expected, found) = (teacher.num_key_value_heads, groups);
            return Err(PlanError::Merge { expected, found });
        }
        let merged = teacher.num_key_value_heads / groups;
        let layers = sources.iter().map(|&source| LayerPlan {
            source,
            heads: by_group(teacher, student, scores, source)
                .flat_map(|(ranked, kept)| ascending(&ranked[..kept]))
                .collect(),
            neurons: best(
                &scores.neurons[source.min(teacher.num_hidden_layers - 1)],
                student.intermediate_size,
            ),
            kv_groups: (merged > 1)
                .then(|| (0..groups).map(|g| (g * merged..(g + 1) * merged).collect()).collect()),
            ..LayerPlan::default()
        });
        let plan = Self {
            schema: SCHEMA,
            hidden: best(&scores.hidden, student.hidden_size),
            layers: layers.collect(),
            ..Self::default()
        };
        plan.check(teacher)?;
        Ok(plan)
    }

    /// The whole model in order of importance, the best first: the same function, of which every shape that keeps all
    /// layers and key-value heads is a prefix (and so students are nested).
    ///
    /// # Errors
    ///
    /// If the scores are another model's.
    pub fn sorted(teacher: &ModelConfig, scores: &Scores) -> Result<Self, PlanError> {
        check_scores(teacher, scores)?;
        let mut plan = Self::whole(teacher);
        plan.hidden = ranked(&scores.hidden);
        for layer in &mut plan.layers {
            let source = layer.source;
            layer.neurons = ranked(&scores.neurons[source]);
            let groups = by_group(teacher, teacher, scores, source);
            layer.heads = groups.flat_map(|(ranked, _)| ranked).collect();
        }
        Ok(plan)
    }

    /// Says of each layer which removed query heads go into which that stay, by the scores it was chosen by.
    pub fn pair_heads(&mut self, teacher: &ModelConfig, scores: &Scores, sign: HeadAddBack) {
        let student = self.student(teacher);
        self.head_add_back = sign;
        for layer in &mut self.layers {
            layer.add_back = by_group(teacher, &student, scores, layer.source)
                .flat_map(|(ranked, kept)| pairs(&ranked, kept))
                .collect();
        }
        if self.layers.iter().all(|layer| layer.add_back.is_empty()) {
            self.head_add_back = HeadAddBack::Off;
        }
    }
}

fn check_scores(teacher: &ModelConfig, scores: &Scores) -> Result<(), PlanError> {
    let sizes = [
        ("hidden channels", teacher.hidden_size, scores.hidden.len()),
        ("layers", teacher.num_hidden_layers, scores.neurons.len()),
        ("neurons", teacher.intermediate_size, scores.neurons.first().map_or(0, Vec::len)),
        ("heads", teacher.num_attention_heads, scores.heads.first().map_or(0, Vec::len)),
    ];
    match sizes.into_iter().find(|(_, expected, found)| expected != found) {
        Some((what, expected, found)) => Err(PlanError::Scores { what, expected, found }),
        None => Ok(()),
    }
}

/// Of each of the student's key-value groups, the teacher's query heads in order of importance, and how many stay.
fn by_group(
    teacher: &ModelConfig,
    student: &ModelConfig,
    scores: &Scores,
    source: usize,
) -> impl Iterator<Item = (Vec<usize>, usize)> {
    let groups = student.num_key_value_heads;
    let before = teacher.num_attention_heads / groups;
    let kept = (student.num_attention_heads / groups).min(before);
    let heads = &scores.heads[source.min(teacher.num_hidden_layers - 1)];
    (0..groups).map(move |g| {
        let heads = ranked(&heads[g * before..(g + 1) * before]);
        (heads.into_iter().map(|head| g * before + head).collect(), kept)
    })
}

/// All indices, the highest score first; of two equal scores the earlier index is.
fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order
}

/// The indices of the `count` highest scores, ascending; of two equal scores the earlier index is kept.
fn best(scores: &[f64], count: usize) -> Vec<usize> {
    ascending(&ranked(scores)[..count.min(scores.len())])
}

fn ascending(indices: &[usize]) -> Vec<usize> {
    let mut indices = indices.to_vec();
    indices.sort_unstable();
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_in_their_order_and_ties_keep_the_earlier() {
        assert_eq!(best(&[1.0, 5.0, 3.0, 5.0, 0.0], 3), [1, 2, 3]);
        assert_eq!(best(&[2.0, 2.0, 2.0], 2), [0, 1]);
        assert_eq!(ranked(&[1.0, 5.0, 3.0, 5.0, 0.0]), [1, 3, 2, 0, 4]);
    }
}
