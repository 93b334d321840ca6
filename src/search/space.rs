//! The shapes that a recipe lists, and those that a budget leaves of them.

use super::budget::Budget;
use super::cost::Cost;
use super::latency::Latencies;
use crate::model::ModelConfig;
use crate::recipe::{Prune, Recipe, RecipeError, Search, Size};

/// Those that come nearest, where no shape fits.
const NEAREST: usize = 3;

/// A shape, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The shape.
    pub config: ModelConfig,
    /// What it costs.
    pub cost: Cost,
}

/// No shape lies in every window.
#[derive(Debug, thiserror::Error)]
#[error("none of the {tried} shapes that `[search]` lists fits its budget; the nearest:\n{}", nearest.join("\n"))]
pub struct NoneFits {
    /// Shapes.
    pub tried: usize,
    /// The nearest, with what they exceed.
    pub nearest: Vec<String>,
}

/// Every combination of the listed sizes that attention can be built of, the first size of each axis first.
///
/// # Errors
///
/// If a size is more than the model has, or no combination can be built.
pub fn shapes(
    recipe: &Recipe,
    prune: &Prune,
    search: &Search,
    teacher: &ModelConfig,
) -> Result<Vec<ModelConfig>, RecipeError> {
    let mut found: Vec<ModelConfig> = Vec::new();
    let mut last = None;
    let each = |listed: &[Size], base: Option<Size>| match listed {
        [] => vec![base],
        listed => listed.iter().copied().map(Some).collect(),
    };
    for layers in each(&search.num_hidden_layers, prune.num_hidden_layers) {
        for kv_heads in each(&search.num_key_value_heads, prune.num_key_value_heads) {
            for heads in each(&search.num_attention_heads, prune.num_attention_heads) {
                for intermediate in each(&search.intermediate_size, prune.intermediate_size) {
                    for hidden in each(&search.hidden_size, prune.hidden_size) {
                        let sizes = Prune {
                            hidden_size: hidden,
                            intermediate_size: intermediate,
                            num_attention_heads: heads,
                            num_key_value_heads: kv_heads,
                            num_hidden_layers: layers,
                            ..prune.clone()
                        };
                        let one = Recipe { prune: Some(sizes), ..recipe.clone() };
                        match one.student_config(teacher) {
                            // Two shares may be rounded to one size.
                            Ok(config) if found.contains(&config) => {}
                            Ok(config) => found.push(config),
                            Err(error) => last = Some(error),
                        }
                    }
                }
            }
        }
    }
    match (found.is_empty(), last) {
        (true, Some(error)) => Err(error),
        _ => Ok(found),
    }
}

/// The shapes in every window, in their order.
///
/// # Errors
///
/// [`NoneFits`] with those that come nearest.
pub fn fitting(
    shapes: &[ModelConfig],
    search: &Search,
    seq_tokens: u64,
    latencies: Option<&Latencies>,
) -> Result<Vec<Shape>, NoneFits> {
    let budget = Budget::of(search);
    let costed = shapes.iter().map(|config| Shape {
        config: config.clone(),
        cost: Cost::of(config, search, seq_tokens, latencies),
    });
    let (fit, mut other): (Vec<Shape>, Vec<Shape>) =
        costed.partition(|shape| budget.violated(&shape.cost).is_empty());
    if !fit.is_empty() {
        return Ok(fit);
    }
    other.sort_by(|a, b| budget.excess(&a.cost).total_cmp(&budget.excess(&b.cost)));
    let said = |shape: &Shape| {
        format!("    {}: {}", named(&shape.config), budget.violated(&shape.cost).join(", "))
    };
    Err(NoneFits { tried: shapes.len(), nearest: other.iter().take(NEAREST).map(said).collect() })
}

/// A shape in a few letters: `layers 29, hidden 3072, intermediate 9216, heads 32/8`.
#[must_use]
pub fn named(config: &ModelConfig) -> String {
    format!(
        "layers {}, hidden {}, intermediate {}, heads {}/{}",
        config.num_hidden_layers,
        config.hidden_size,
        config.intermediate_size,
        config.num_attention_heads,
        config.num_key_value_heads
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::described;

    fn listed(text: &str) -> (Recipe, ModelConfig) {
        let recipe =
            Recipe::resolve(&format!("[prune]\n[distil]\nsteps = 1\n[search]\n{text}\n"), &[]);
        (recipe.unwrap(), described("llama-3.1-8b").unwrap())
    }

    fn all(recipe: &Recipe, teacher: &ModelConfig) -> Result<Vec<ModelConfig>, RecipeError> {
        let (prune, search) = (recipe.prune.as_ref().unwrap(), recipe.search.as_ref().unwrap());
        shapes(recipe, prune, search, teacher)
    }

    #[test]
    fn every_combination_is_there_once_and_those_that_cannot_be_are_not() {
        let (recipe, teacher) = listed(
            "parameters = \"..9B\"\nhidden_size = [4096, 3072, \"75%\"]\nnum_attention_heads = [32, 24]\n\
             num_key_value_heads = [8, 4]\nnum_hidden_layers = [32, 16]",
        );
        let found = all(&recipe, &teacher).unwrap();
        assert_eq!(found.len(), 2 * 2 * 2 * 2);
        assert_eq!(found[0], teacher);
        let (recipe, teacher) = listed(
            "parameters = \"..9B\"\nnum_attention_heads = [32, 28]\nnum_key_value_heads = [8, 4]",
        );
        // 28 heads do not divide among 8.
        assert_eq!(all(&recipe, &teacher).unwrap().len(), 3);
    }

    #[test]
    fn a_size_that_never_fits_is_the_error() {
        let (recipe, teacher) = listed("parameters = \"..9B\"\nhidden_size = [5000]");
        let said = all(&recipe, &teacher).unwrap_err().to_string();
        assert_eq!(said, "`prune.hidden_size`: expected 1 to the teacher's 4096, found 5000");
    }

    #[test]
    fn where_none_fits_the_nearest_are_shown_with_what_they_exceed() {
        let (recipe, teacher) =
            listed("parameters = \"4.2B..4.3B\"\nhidden_size = [4096, 3072, 2048, 1024]");
        let (shapes, search) = (all(&recipe, &teacher).unwrap(), recipe.search.unwrap());
        let none = fitting(&shapes, &search, 8192, None).unwrap_err();
        assert_eq!((none.tried, none.nearest.len()), (4, 3));
        assert!(
            none.nearest[0].contains("hidden 2048") && none.nearest[0].contains("parameters 4.0"),
            "{none}"
        );
        let wide = Search { parameters: Some("3B..8B".parse().unwrap()), ..search };
        let sizes = fitting(&shapes, &wide, 8192, None).unwrap();
        assert_eq!(sizes.iter().map(|s| s.config.hidden_size).collect::<Vec<_>>(), [3072, 2048]);
    }
}
