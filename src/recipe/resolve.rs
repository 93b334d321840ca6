//! From a name, a path or a text to a checked recipe.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

use super::data::DEFAULT_NUM_STORIES;
use super::explain::{explain, place};
use super::{Recipe, RecipeError, merge, set, suggest};
use dataflows::recipes::RECIPES;

/// The recipe's name in a run directory.
const RUN_RECIPE: &str = "recipe.toml";

/// A recipe's text and where it is from.
struct Text {
    origin: String,
    text: String,
    /// What a path in `extends` is relative to.
    directory: PathBuf,
}

impl Recipe {
    /// The recipe of that name, path or text, with what it extends and the `sets` (`distil.steps=10`)
    /// merged into it, checked.
    ///
    /// A built-in name comes before a path; a directory means the `recipe.toml` in it; what has a line
    /// break or a `=` in it is a text. Paths inside a recipe are relative to where the program runs,
    /// but `extends` is relative to the file that says it.
    ///
    /// # Errors
    ///
    /// If there is no such recipe, it or what it extends is not a recipe, a `--set` does not fit, or the
    /// values do not go together.
    pub fn resolve(name_or_path_or_text: &str, sets: &[String]) -> Result<Self, RecipeError> {
        let text = find(name_or_path_or_text, Path::new(""))?;
        let (mut table, own) = parse(&text)?;
        if let Some(name) = own.extends {
            let base = find(&name, &text.directory)?;
            let (base_table, base) = parse(&base)?;
            if let Some(further) = base.extends {
                return Err(RecipeError::ExtendsTwice { origin: text.origin, base: name, further });
            }
            table.remove("extends");
            table = merge::merge(base_table, table);
        }
        for assignment in sets {
            table = set::apply(&table, assignment)?;
        }
        let merged = toml::to_string(&table).unwrap_or_default();
        let mut recipe = typed(&text.origin, &merged)?;
        for source in recipe.data.values_mut().filter(|source| source.generate.is_some()) {
            source.num_stories.get_or_insert(DEFAULT_NUM_STORIES);
        }
        recipe.check()?;
        Ok(recipe)
    }
}

fn find(name: &str, directory: &Path) -> Result<Text, RecipeError> {
    if let Some((name, text)) = RECIPES.iter().find(|(known, _)| *known == name) {
        let origin = format!("recipe `{name}`");
        return Ok(Text { origin, text: (*text).into(), directory: PathBuf::new() });
    }
    if name.contains(['\n', '=']) && !Path::new(name).exists() {
        return Ok(Text {
            origin: "the recipe".into(),
            text: name.into(),
            directory: PathBuf::new(),
        });
    }
    let mut path = directory.join(name);
    if path.is_dir() {
        path.push(RUN_RECIPE);
    } else if !path.exists() {
        let known = RECIPES.iter().map(|(known, _)| *known);
        return Err(RecipeError::UnknownRecipe {
            name: name.into(),
            suggestion: suggest::nearest(name, known),
        });
    }
    let text = fs::read_to_string(&path)
        .map_err(|source| RecipeError::Unreadable { path: path.clone(), source })?;
    let directory = path.parent().map(PathBuf::from).unwrap_or_default();
    Ok(Text { origin: format!("`{}`", path.display()), text, directory })
}

/// The text as keys and values, to merge, and as a recipe, so that an error has its line.
fn parse(text: &Text) -> Result<(Table, Recipe), RecipeError> {
    let recipe = typed(&text.origin, &text.text)?;
    let table = toml::from_str(&text.text).map_err(|e| malformed(&text.origin, &text.text, &e))?;
    Ok((table, recipe))
}

fn typed(origin: &str, text: &str) -> Result<Recipe, RecipeError> {
    toml::from_str(text).map_err(|error| malformed(origin, text, &error))
}

pub(super) fn malformed(origin: &str, text: &str, error: &toml::de::Error) -> RecipeError {
    let (line, column, excerpt) = place(text, error.span().unwrap_or(0..0));
    let explained = explain(error.message());
    RecipeError::Malformed {
        origin: origin.into(),
        line,
        column,
        message: explained.message,
        excerpt,
        advice: explained.advice,
    }
}
