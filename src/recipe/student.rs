//! From the teacher's shape to the student's.

use std::path::Path;

use super::{Prune, Recipe, RecipeError, Size, teacher};
use crate::model::config::ModelConfig;

impl Recipe {
    /// The student's shape: the teacher's with `[prune]` applied; the teacher's own without it.
    ///
    /// # Errors
    ///
    /// If a size is more than the teacher has, the heads do not divide among the key-value heads, or a
    /// layer that goes is none of the teacher's, or all of them are to go; if `prune.plan` does not fit.
    pub fn student_config(&self, teacher: &ModelConfig) -> Result<ModelConfig, RecipeError> {
        let student = match &self.prune {
            Some(prune) => prune.shape(&self.uncut_shape(teacher)?)?,
            None => teacher.clone(),
        };
        // Where another model is cut than teaches, whoever asks may have that one's shape.
        let is_cut = self.prune.as_ref().is_none_or(|prune| prune.model.is_none());
        if let (Some(_), Some(hidden), true) = (&self.distil, &self.losses.hidden, is_cut) {
            hidden.norms(teacher.num_hidden_layers, student.num_hidden_layers)?;
        }
        Ok(student)
    }

    /// Whether it is searched for, which layers go.
    #[must_use]
    pub fn searches_layers(&self) -> bool {
        let Some(prune) = self.prune.as_ref().filter(|prune| prune.plan.is_none()) else {
            return false;
        };
        let listed =
            self.search.as_ref().is_some_and(|search| !search.num_hidden_layers.is_empty());
        prune.num_hidden_layers.is_some() || listed
    }

    /// Numbers of layers that may go and are searched for, ascending: of the student, or of the candidates.
    ///
    /// # Errors
    ///
    /// As [`student_config`](Self::student_config).
    pub fn dropped_layers(&self, uncut: &ModelConfig) -> Result<Vec<usize>, RecipeError> {
        let Some(prune) = self.prune.as_ref().filter(|_| self.searches_layers()) else {
            return Ok(Vec::new());
        };
        let listed = self.search.as_ref().map_or(&[][..], |search| &search.num_hidden_layers);
        let sizes: Vec<Size> = match listed {
            [] => prune.num_hidden_layers.into_iter().collect(),
            listed => listed.to_vec(),
        };
        let whole = uncut.num_hidden_layers;
        let mut dropped = Vec::new();
        for size in sizes {
            dropped.push(whole - sized("num_hidden_layers", Some(size), whole, 1)?);
        }
        dropped.sort_unstable();
        dropped.dedup();
        dropped.retain(|dropped| *dropped > 0);
        Ok(dropped)
    }

    /// The shape of the model that is cut: of `prune.model`, else the teacher's.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has another vocabulary than the teacher.
    pub fn uncut_shape(&self, teacher: &ModelConfig) -> Result<ModelConfig, RecipeError> {
        let named = self.prune.as_ref().and_then(|prune| prune.model.as_ref());
        let Some(directory) = named else { return Ok(teacher.clone()) };
        let shape = teacher::read(&Path::new(directory).join("config.json"))?;
        if shape.vocab_size != teacher.vocab_size {
            let expected = format!("a model of the teacher's {} words", teacher.vocab_size);
            let found = format!("one of {}: `{directory}`", shape.vocab_size);
            return Err(wrong("model", expected, found));
        }
        Ok(shape)
    }
}

fn wrong(key: &str, expected: String, found: String) -> RecipeError {
    RecipeError::Value { key: format!("prune.{key}"), expected, found }
}

fn sized(
    key: &str,
    size: Option<Size>,
    whole: usize,
    multiple_of: usize,
) -> Result<usize, RecipeError> {
    let Some(size) = size else { return Ok(whole) };
    let found = size.of(whole, multiple_of);
    if found == 0 || found > whole {
        return Err(wrong(key, format!("1 to the teacher's {whole}"), found.to_string()));
    }
    Ok(found)
}

impl Prune {
    /// A number that divides the teacher's; a share is rounded to the nearest of those.
    fn key_value_heads(&self, teacher: &ModelConfig) -> Result<usize, RecipeError> {
        let whole = teacher.num_key_value_heads;
        let Some(size) = self.num_key_value_heads else { return Ok(whole) };
        let found = size.of(whole, 1);
        let divisors = (1..=whole).filter(|n| whole.is_multiple_of(*n));
        match size {
            // Of two that are as near the larger.
            Size::Percent(_) => {
                Ok(divisors.rev().min_by_key(|n| n.abs_diff(found)).unwrap_or(whole))
            }
            Size::Exact(_) if whole.is_multiple_of(found) => Ok(found),
            Size::Exact(_) => {
                let divisors: Vec<String> = divisors.map(|n| n.to_string()).collect();
                let expected = format!(
                    "one that divides the teacher's {whole} key-value heads: {}",
                    divisors.join(", ")
                );
                Err(wrong("num_key_value_heads", expected, found.to_string()))
            }
        }
    }

    fn shape(&self, teacher: &ModelConfig) -> Result<ModelConfig, RecipeError> {
        if let Some(plan) = &self.plan {
            return self.planned(plan, teacher);
        }
        let groups = self.key_value_heads(teacher)?;
        let heads = sized(
            "num_attention_heads",
            self.num_attention_heads,
            teacher.num_attention_heads,
            groups,
        )?;
        if !heads.is_multiple_of(groups) {
            let whose = if self.num_key_value_heads.is_some() { "student" } else { "teacher" };
            let expected = format!("a multiple of the {whose}'s {groups} key-value heads");
            return Err(wrong("num_attention_heads", expected, heads.to_string()));
        }
        let layers = teacher.num_hidden_layers;
        if let Some(layer) = self.drop_layers.iter().find(|layer| **layer >= layers) {
            let expected = format!("layers from 0 to the teacher's last, {}", layers - 1);
            return Err(wrong("drop_layers", expected, format!("layer {layer}")));
        }
        if self.drop_layers.len() >= layers {
            let expected = format!("fewer than the teacher's {layers} layers");
            return Err(wrong("drop_layers", expected, self.drop_layers.len().to_string()));
        }
        let stay =
            sized("num_hidden_layers", self.num_hidden_layers, layers - self.drop_layers.len(), 1)?;
        Ok(ModelConfig {
            hidden_size: sized(
                "hidden_size",
                self.hidden_size,
                teacher.hidden_size,
                self.round_to,
            )?,
            intermediate_size: sized(
                "intermediate_size",
                self.intermediate_size,
                teacher.intermediate_size,
                self.round_to,
            )?,
            num_attention_heads: heads,
            num_key_value_heads: groups,
            num_hidden_layers: stay,
            ..teacher.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::described;
    use super::*;

    fn student(prune: &str) -> Result<ModelConfig, RecipeError> {
        let recipe = Recipe::resolve(&format!("[prune]\n{prune}\n"), &[]).unwrap();
        recipe.student_config(&described("llama-3.1-8b").unwrap())
    }

    #[test]
    fn what_is_not_named_stays_the_teachers() {
        let teacher = described("llama-3.1-8b").unwrap();
        assert_eq!(student("").unwrap(), teacher);
        let cut = student("hidden_size = \"75%\"").unwrap();
        assert_eq!(cut, ModelConfig { hidden_size: 3072, ..teacher });
        assert_eq!(cut.head_dim, 128);
    }

    #[test]
    fn shares_of_heads_are_rounded_to_the_key_value_heads() {
        for (share, heads) in [("50%", 16), ("60%", 16), ("65%", 24), ("1%", 8), ("100%", 32)] {
            let config = student(&format!("num_attention_heads = \"{share}\"")).unwrap();
            assert_eq!(config.num_attention_heads, heads, "{share}");
        }
    }

    #[test]
    fn shares_of_key_value_heads_are_rounded_to_a_divisor_and_heads_follow_them() {
        for (share, heads) in [("50%", 4), ("30%", 2), ("70%", 8), ("1%", 1), ("37.5%", 4)] {
            let config = student(&format!("num_key_value_heads = \"{share}\"")).unwrap();
            assert_eq!((config.num_key_value_heads, config.num_attention_heads), (heads, 32));
        }
        let both = student("num_key_value_heads = 4\nnum_attention_heads = 20").unwrap();
        assert_eq!((both.num_key_value_heads, both.num_attention_heads), (4, 20));
    }

    #[test]
    fn layers_that_stay_are_a_number_or_a_share_rounded_to_one_layer() {
        for (layers, stay) in [("20", 20), ("\"50%\"", 16), ("\"1%\"", 1), ("\"98%\"", 31)] {
            let config = student(&format!("num_hidden_layers = {layers}")).unwrap();
            assert_eq!(config.num_hidden_layers, stay, "{layers}");
        }
    }

    #[test]
    fn shapes_that_cannot_be_cut_out_of_the_teacher_are_refused() {
        for (prune, message) in [
            (
                "hidden_size = 4104",
                "`prune.hidden_size`: expected 1 to the teacher's 4096, found 4104",
            ),
            (
                "intermediate_size = 20000",
                "`prune.intermediate_size`: expected 1 to the teacher's 14336, found 20000",
            ),
            (
                "num_hidden_layers = 33",
                "`prune.num_hidden_layers`: expected 1 to the teacher's 32, found 33",
            ),
            (
                "num_attention_heads = 20",
                "`prune.num_attention_heads`: expected a multiple of the teacher's 8 key-value heads, found 20",
            ),
            (
                "num_key_value_heads = 3",
                "`prune.num_key_value_heads`: expected one that divides the teacher's 8 key-value heads: 1, 2, 4, 8, found 3",
            ),
            (
                "num_key_value_heads = 4\nnum_attention_heads = 30",
                "`prune.num_attention_heads`: expected a multiple of the student's 4 key-value heads, found 30",
            ),
            (
                "drop_layers = [31, 32]",
                "`prune.drop_layers`: expected layers from 0 to the teacher's last, 31, found layer 32",
            ),
        ] {
            assert_eq!(student(prune).unwrap_err().to_string(), message);
        }
        let all: Vec<usize> = (0..32).collect();
        assert_eq!(
            student(&format!("drop_layers = {all:?}")).unwrap_err().to_string(),
            "`prune.drop_layers`: expected fewer than the teacher's 32 layers, found 32"
        );
    }
}
