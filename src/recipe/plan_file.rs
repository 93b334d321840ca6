//! A plan that was written or changed by hand: taken if it fits the teacher, refused at its line if it does not.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::explain::place;
use super::resolve::malformed;
use super::{Prune, RecipeError};
use crate::model::ModelConfig;
use crate::prune::{Place, PrunePlan};

/// What to do about a plan that is none, or does not fit.
const ADVICE: &str =
    "`stillflow show <run> --diff <plan>` says how a plan differs from the one that a run chose";

/// The plan in a file. With a teacher, one that fits it.
///
/// # Errors
///
/// If the file cannot be read; if it is not a plan, or does not fit, with the line.
pub fn read_plan(path: &Path, teacher: Option<&ModelConfig>) -> Result<PrunePlan, RecipeError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| RecipeError::NoPlan { path: path.to_owned(), source })?;
    let origin = format!("`{}`", path.display());
    let plan: PrunePlan =
        toml::from_str(&text).map_err(|error| match malformed(&origin, &text, &error) {
            RecipeError::Malformed { origin, line, column, message, excerpt, advice } => {
                let advice = advice.or(Some(ADVICE.into()));
                RecipeError::Malformed { origin, line, column, message, excerpt, advice }
            }
            other => other,
        })?;
    let Some(Err(error)) = teacher.map(|teacher| plan.check(teacher)) else { return Ok(plan) };
    let span = error.place().and_then(|at| span(&text, at)).unwrap_or(0..0);
    let (line, column, excerpt) = place(&text, span);
    Err(RecipeError::Malformed {
        origin,
        line,
        column,
        message: error.to_string(),
        excerpt,
        advice: Some(ADVICE.into()),
    })
}

/// The bytes of what stands at a place; of what surrounds it, if nothing does.
fn span(text: &str, at: Place) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut found = 0..0;
    if let Some(layer) = at.layer {
        let of_layer = table.get("layers")?.get_ref().as_array()?.get(layer)?;
        found = of_layer.span();
        table = of_layer.get_ref().as_table()?;
    }
    let Some(value) = table.get(at.key) else { return Some(found) };
    let element = at.index.and_then(|index| nth(value, index));
    Some(element.unwrap_or(value).span())
}

/// The element of a list, or, of a list of lists that is meant as one, the element of those.
fn nth<'a>(list: &'a Spanned<DeValue<'a>>, index: usize) -> Option<&'a Spanned<DeValue<'a>>> {
    list.get_ref().as_array()?.get(index)
}

impl Prune {
    /// The plan that the recipe names, and the shape it makes, if what else the recipe says agrees with it.
    ///
    /// # Errors
    ///
    /// As [`read_plan`]; or the first key that says something else.
    pub(super) fn planned(
        &self,
        path: &str,
        teacher: &ModelConfig,
    ) -> Result<ModelConfig, RecipeError> {
        let plan = read_plan(Path::new(path), Some(teacher))?;
        let student = plan.student(teacher);
        let says = |key: &str, expected: String, found: String| RecipeError::Value {
            key: format!("prune.{key}"),
            expected: format!("{expected} as in `{path}`, or no such key"),
            found,
        };
        for (key, size, whole, multiple_of, expected) in [
            (
                "hidden_size",
                self.hidden_size,
                teacher.hidden_size,
                self.round_to,
                student.hidden_size,
            ),
            (
                "intermediate_size",
                self.intermediate_size,
                teacher.intermediate_size,
                self.round_to,
                student.intermediate_size,
            ),
            (
                "num_attention_heads",
                self.num_attention_heads,
                teacher.num_attention_heads,
                student.num_key_value_heads,
                student.num_attention_heads,
            ),
            (
                "num_key_value_heads",
                self.num_key_value_heads,
                teacher.num_key_value_heads,
                1,
                student.num_key_value_heads,
            ),
            (
                "num_hidden_layers",
                self.num_hidden_layers,
                teacher.num_hidden_layers,
                1,
                student.num_hidden_layers,
            ),
        ] {
            let found = size.map_or(expected, |size| size.of(whole, multiple_of));
            if found != expected {
                return Err(says(key, expected.to_string(), found.to_string()));
            }
        }
        let goes = |layer: &usize| plan.layers.iter().all(|kept| kept.source != *layer);
        let gone: Vec<usize> = (0..teacher.num_hidden_layers).filter(goes).collect();
        let mut dropped = self.drop_layers.clone();
        dropped.sort_unstable();
        if !dropped.is_empty() && dropped != gone {
            return Err(says("drop_layers", format!("{gone:?}"), format!("{dropped:?}")));
        }
        let (has, wants) = (plan.head_add_back, self.head_add_back);
        if !wants.is_off() && wants != has {
            return Err(says("head_add_back", has.name().into(), wants.name().into()));
        }
        let is_cut = student.hidden_size < teacher.hidden_size;
        if self.norm_compensation && is_cut && plan.norm_gain.is_none() {
            return Err(says("norm_compensation", "false".into(), "true".into()));
        }
        Ok(student)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, described};

    const PLAN: &str = "schema = 1\nhidden = [0, 2]\n\n[[layers]]\nsource = 0\nheads = [0, 2]\n\
        neurons = [\n  0,\n  3,\n]\n\n[[layers]]\nsource = 1\nheads = [1, 3]\nneurons = [1, 2]\n";

    fn teacher() -> ModelConfig {
        ModelConfig {
            hidden_size: 4,
            intermediate_size: 4,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            ..described("llama-3.1-8b").unwrap()
        }
    }

    fn said(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.toml");
        std::fs::write(&path, text).unwrap();
        let error = read_plan(&path, Some(&teacher())).unwrap_err().to_string();
        error.replace(&format!("`{}`", path.display()), "plan")
    }

    #[test]
    fn what_does_not_fit_is_marked_in_its_line() {
        for (from, to, message) in [
            (
                "  3,\n",
                "  4,\n",
                "plan, line 9, column 3: `neurons` of layer 0: expected different indices below 4, found 4\n\
                 \u{20} |\n9 |   4,\n  |   ^",
            ),
            (
                "hidden = [0, 2]",
                "hidden = [2, 2]",
                "plan, line 2, column 14: `hidden`: expected different indices below 4, found 2 twice\n\
                 \u{20} |\n2 | hidden = [2, 2]\n  |              ^",
            ),
            (
                "heads = [1, 3]",
                "heads = [1, 0]",
                "plan, line 14, column 13: `heads` of layer 1: expected as many heads of each key-value group, here one of 2 to 3, found 0\n\
                 \u{20}  |\n14 | heads = [1, 0]\n   |             ^",
            ),
            (
                "source = 1",
                "source = 2",
                "plan, line 13, column 10: `source` of layer 1: expected 1 to 1, as layers stay in order, found 2\n\
                 \u{20}  |\n13 | source = 2\n   |          ^",
            ),
            (
                "heads = [1, 3]",
                "head = [1, 3]",
                "plan, line 14, column 1: unknown key `head`\n   |\n14 | head = [1, 3]\n   | ^^^^",
            ),
        ] {
            assert!(PLAN.contains(from));
            assert_eq!(said(&PLAN.replace(from, to)), message);
        }
    }

    #[test]
    fn a_recipe_takes_the_plans_shape_and_says_where_it_says_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.toml");
        std::fs::write(&path, PLAN).unwrap();
        let student = |keys: &str| {
            let text = format!("[prune]\nplan = '{}'\n{keys}\n", path.display());
            let recipe = Recipe::resolve(&text, &[]).unwrap();
            let said = recipe.student_config(&teacher()).map_err(|error| error.to_string());
            said.map_err(|said| said.replace(&*path.to_string_lossy(), "P"))
        };
        let shape = ModelConfig {
            hidden_size: 2,
            intermediate_size: 2,
            num_attention_heads: 2,
            ..teacher()
        };
        assert_eq!(student("").unwrap(), shape);
        assert_eq!(student("hidden_size = 2\nnum_attention_heads = \"50%\"").unwrap(), shape);
        for (keys, message) in [
            (
                "intermediate_size = 3",
                "`prune.intermediate_size`: expected 2 as in `P`, or no such key, found 3",
            ),
            (
                "drop_layers = [1]",
                "`prune.drop_layers`: expected [] as in `P`, or no such key, found [1]",
            ),
            (
                "head_add_back = \"plus\"",
                "`prune.head_add_back`: expected off as in `P`, or no such key, found plus",
            ),
            (
                "norm_compensation = true",
                "`prune.norm_compensation`: expected false as in `P`, or no such key, found true",
            ),
        ] {
            assert_eq!(student(keys).unwrap_err(), message);
        }
    }
}
