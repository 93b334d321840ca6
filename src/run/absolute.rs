//! Paths of a recipe, as they are from anywhere: a run may be resumed from another directory.

use std::path::{Path, PathBuf};

use crate::recipe::Recipe;
use crate::stages::sources::is_address;

/// The recipe with each of its paths made absolute, without looking at what is there.
pub(super) fn with_absolute_paths(mut recipe: Recipe) -> Recipe {
    let absolute = |path: &mut Option<String>| {
        // An address is the same from anywhere.
        if let Some(path) = path.as_mut().filter(|path| !is_address(path)) {
            let whole = std::path::absolute(&*path).unwrap_or_else(|_| PathBuf::from(&*path));
            *path = whole.to_string_lossy().into_owned();
        }
    };
    absolute(&mut recipe.teacher.model);
    absolute(&mut recipe.tokens.tokenizer);
    if let Some(prune) = &mut recipe.prune {
        absolute(&mut prune.plan);
        absolute(&mut prune.model);
        absolute(&mut prune.depth_task);
    }
    if let Some(capture) = &mut recipe.capture {
        absolute(&mut capture.dir);
    }
    if let Some(logits) = &mut recipe.logits {
        absolute(&mut logits.dir);
    }
    absolute(&mut recipe.evaluate.choices);
    for source in recipe.data.values_mut() {
        absolute(&mut source.path);
        absolute(&mut source.held_out);
    }
    // The name of a shape that is built in is no path.
    if recipe.teacher.config.as_ref().is_some_and(|name| Path::new(name).is_file()) {
        absolute(&mut recipe.teacher.config);
    }
    recipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_and_addresses_and_names_of_shapes_do_not() {
        let text = "[teacher]\nmodel = \"m\"\n[data.a]\npath = \"text/*.txt\"\n\
            [data.b]\nformat = \"tokens\"\npath = \"s3://bucket/train\"\nheld_out = \"held\"\n";
        let recipe = with_absolute_paths(Recipe::resolve(text, &[]).unwrap());
        let here = std::env::current_dir().unwrap();
        assert_eq!(recipe.teacher.model, Some(here.join("m").to_string_lossy().into_owned()));
        assert_eq!(
            recipe.data["a"].path,
            Some(here.join("text/*.txt").to_string_lossy().into_owned())
        );
        assert_eq!(recipe.data["b"].path.as_deref(), Some("s3://bucket/train"));
        assert_eq!(
            recipe.data["b"].held_out,
            Some(here.join("held").to_string_lossy().into_owned())
        );
        let shape = Recipe::resolve("[teacher]\nconfig = \"llama-3.1-8b\"\n", &[]).unwrap();
        assert_eq!(with_absolute_paths(shape).teacher.config.as_deref(), Some("llama-3.1-8b"));
    }
}
