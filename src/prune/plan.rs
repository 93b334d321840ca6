//! What is kept: a pure function of scores and sizes, as TOML that a person can read, compare and edit.
//!
//! ```toml
//! schema = 1
//! hidden = [0, 2, 5]          # channels of the residual stream
//!
//! [[layers]]
//! source = 0                  # the teacher's layer
//! heads = [0, 1, 4, 5]        # query heads, as many of each key-value group
//! neurons = [3, 4, 7]
//! ```

use serde::{Deserialize, Serialize};

use super::importance::Importance;
use crate::model::ModelConfig;

/// The indices that are kept, each list ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrunePlan {
    /// Of this format: 1.
    pub schema: u32,
    /// Channels of the residual stream.
    pub hidden: Vec<usize>,
    /// Of the student, in order.
    pub layers: Vec<LayerPlan>,
}

/// What is kept of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerPlan {
    /// The teacher's layer.
    pub source: usize,
    /// Query heads.
    pub heads: Vec<usize>,
    /// Neurons.
    pub neurons: Vec<usize>,
}

/// A plan that does not fit a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A list is empty, not ascending, or reaches past the end.
    #[error("{what}: expected ascending indices below {size}, found {found}")]
    Indices {
        /// Which list.
        what: String,
        /// The size that they index.
        size: usize,
        /// The first that is wrong.
        found: String,
    },
    /// The key-value groups keep different numbers of query heads.
    #[error(
        "layer {layer}: key-value group {group} keeps {found} query heads, group 0 keeps {expected}"
    )]
    Groups {
        /// The student's layer.
        layer: usize,
        /// The group.
        group: usize,
        /// Heads that group 0 keeps.
        expected: usize,
        /// Heads that this one keeps.
        found: usize,
    },
    /// The layers have different widths.
    #[error("layer {layer} keeps {found} {what}, layer 0 keeps {expected}")]
    Uneven {
        /// The student's layer.
        layer: usize,
        /// Heads or neurons.
        what: &'static str,
        /// In layer 0.
        expected: usize,
        /// In this one.
        found: usize,
    },
    /// The scores are not those of this model.
    #[error(
        "scores of {what}: expected {expected}, found {found}: these are another model's scores"
    )]
    Scores {
        /// Which scores.
        what: &'static str,
        /// By the model.
        expected: usize,
        /// In the scores.
        found: usize,
    },
}

impl PrunePlan {
    /// Keeps the best of every axis, down to the student's sizes; `sources` are the layers that stay.
    ///
    /// # Errors
    ///
    /// If the scores are another model's, or the sizes do not fit.
    pub fn choose(
        teacher: &ModelConfig,
        student: &ModelConfig,
        sources: &[usize],
        importance: &Importance,
    ) -> Result<Self, PlanError> {
        let hidden_scores = importance.hidden_scores();
        let sizes = [
            ("hidden channels", teacher.hidden_size, hidden_scores.len()),
            ("layers", teacher.num_hidden_layers, importance.neurons.len()),
            ("neurons", teacher.intermediate_size, importance.neurons.first().map_or(0, Vec::len)),
            ("heads", teacher.num_attention_heads, importance.heads.first().map_or(0, Vec::len)),
        ];
        for (what, expected, found) in sizes {
            if expected != found {
                return Err(PlanError::Scores { what, expected, found });
            }
        }
        let groups = teacher.num_key_value_heads;
        let (before, after) =
            (teacher.num_attention_heads / groups, student.num_attention_heads / groups);
        let layers = sources.iter().map(|&source| {
            let heads = importance.head_scores(source.min(teacher.num_hidden_layers - 1));
            let group = |g: usize| {
                let kept = best(&heads[g * before..(g + 1) * before], after);
                kept.into_iter().map(move |head| g * before + head)
            };
            LayerPlan {
                source,
                heads: (0..groups).flat_map(group).collect(),
                neurons: best(
                    &importance.neuron_scores(source.min(teacher.num_hidden_layers - 1)),
                    student.intermediate_size,
                ),
            }
        });
        let plan = Self {
            schema: 1,
            hidden: best(&hidden_scores, student.hidden_size),
            layers: layers.collect(),
        };
        plan.check(teacher)?;
        Ok(plan)
    }

    /// Refuses a plan that does not fit the model, wherever it came from.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self, teacher: &ModelConfig) -> Result<(), PlanError> {
        ascending("hidden", &self.hidden, teacher.hidden_size)?;
        let sources: Vec<usize> = self.layers.iter().map(|l| l.source).collect();
        ascending("layers", &sources, teacher.num_hidden_layers)?;
        let group_size = teacher.num_attention_heads / teacher.num_key_value_heads;
        for (i, layer) in self.layers.iter().enumerate() {
            ascending(&format!("heads of layer {i}"), &layer.heads, teacher.num_attention_heads)?;
            ascending(&format!("neurons of layer {i}"), &layer.neurons, teacher.intermediate_size)?;
            let of_group = |g: usize| layer.heads.iter().filter(|h| **h / group_size == g).count();
            let expected = of_group(0);
            for group in 1..teacher.num_key_value_heads {
                let found = of_group(group);
                if found != expected {
                    return Err(PlanError::Groups { layer: i, group, expected, found });
                }
            }
            let first = &self.layers[0];
            for (what, expected, found) in [
                ("heads", first.heads.len(), layer.heads.len()),
                ("neurons", first.neurons.len(), layer.neurons.len()),
            ] {
                if expected != found {
                    return Err(PlanError::Uneven { layer: i, what, expected, found });
                }
            }
        }
        Ok(())
    }

    /// The student's shape.
    #[must_use]
    pub fn student(&self, teacher: &ModelConfig) -> ModelConfig {
        let first = self.layers.first();
        ModelConfig {
            hidden_size: self.hidden.len(),
            intermediate_size: first.map_or(teacher.intermediate_size, |l| l.neurons.len()),
            num_attention_heads: first.map_or(teacher.num_attention_heads, |l| l.heads.len()),
            num_hidden_layers: self.layers.len(),
            ..teacher.clone()
        }
    }
}

/// The indices of the `count` highest scores, ascending; of two equal scores the earlier index is kept.
fn best(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

fn ascending(what: &str, indices: &[usize], size: usize) -> Result<(), PlanError> {
    let wrong = |found: String| PlanError::Indices { what: what.to_owned(), size, found };
    if indices.is_empty() {
        return Err(wrong("none".to_owned()));
    }
    for pair in indices.windows(2) {
        if pair[0] >= pair[1] {
            return Err(wrong(format!("{} after {}", pair[1], pair[0])));
        }
    }
    match indices.last() {
        Some(last) if *last >= size => Err(wrong(last.to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_in_their_order_and_ties_keep_the_earlier() {
        assert_eq!(best(&[1.0, 5.0, 3.0, 5.0, 0.0], 3), [1, 2, 3]);
        assert_eq!(best(&[2.0, 2.0, 2.0], 2), [0, 1]);
    }

    #[test]
    fn a_list_that_is_not_ascending_or_reaches_past_the_end_is_refused_with_the_index() {
        let message = |i: &[usize]| ascending("hidden", i, 4).unwrap_err().to_string();
        assert_eq!(message(&[]), "hidden: expected ascending indices below 4, found none");
        assert_eq!(message(&[0, 4]), "hidden: expected ascending indices below 4, found 4");
        assert_eq!(message(&[2, 1]), "hidden: expected ascending indices below 4, found 1 after 2");
    }
}
