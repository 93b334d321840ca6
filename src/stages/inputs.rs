//! What a recipe names, looked at before anything is done or written.

use std::path::Path;

use datasets::grammar::Grammar;
use datasets::text::Corpus;
use datasets::tokenizer::Tokenizer;

use super::prepare::spec;
use crate::error::Error;
use crate::eval::choice::{Encoding, Questions, items};
use crate::model::ModelConfig;
use crate::prune::Importance;
use crate::recipe::{AddToken, Recipe};
use crate::search::space;
use crate::weights::ModelDirectory;

/// What a recipe names.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The teacher's shape; with a shape alone, or none, what can be said of it.
    pub teacher: Option<ModelConfig>,
    /// The number of ids of the tokenizer, where the recipe names one or brings one.
    pub vocab_size: Option<u32>,
    /// Name, files and bytes of each source that is read.
    pub sources: Vec<(String, usize, u64)>,
}

/// Looks at what the recipe names: the teacher's directory, the tokenizer, the text.
///
/// # Errors
/// The first thing that is not there, or does not fit.
pub fn inputs(recipe: &Recipe) -> Result<Inputs, Error> {
    if let Some(model) = &recipe.teacher.model {
        ModelDirectory::open(Path::new(model))?;
    }
    let path = recipe.tokenizer();
    let generated =
        !recipe.data.is_empty() && recipe.data.values().all(|source| source.generate.is_some());
    let vocab_size = match path {
        Some(path) => Some(Tokenizer::load(Path::new(path))?.vocab_size()),
        None if generated => u32::try_from(Grammar::new(recipe.seed).vocabulary().len()).ok(),
        None => None,
    };
    let is_known = recipe.pretrain.is_none() || vocab_size.is_some();
    let has_teacher = recipe.pretrain.is_some()
        || recipe.teacher.model.is_some()
        || recipe.teacher.config.is_some();
    let teacher = if is_known && has_teacher {
        let teacher = recipe.teacher_shape(vocab_size.unwrap_or(0) as usize)?;
        recipe.student_config(&teacher)?;
        fits_budget(recipe, &teacher)?;
        Some(teacher)
    } else {
        None
    };
    if let (Some(path), Some(found), Some(teacher)) = (path, vocab_size, &teacher) {
        check_vocabulary(Path::new(path), found, teacher.vocab_size)?;
    }
    super::logits::whose::check(recipe)?;
    let importance = recipe.prune.as_ref().and_then(|prune| prune.importance.as_ref());
    if let (Some(path), Some(teacher)) = (importance, &teacher) {
        Importance::read(Path::new(path), teacher)?;
    }
    for file in recipe.items().map(Path::new) {
        match (path, &teacher) {
            (Some(path), Some(teacher)) => {
                let tokenizer = &Tokenizer::load(Path::new(path))?;
                let bos = tokenizer.bos_id().filter(|_| recipe.tokens.bos != AddToken::Never);
                let max_tokens = teacher.max_position_embeddings;
                Questions::read(file, &Encoding { tokenizer, bos, max_tokens }, 1)?;
            }
            // The words are not known yet.
            _ => {
                items::read(file)?;
            }
        }
    }
    let mut sources = Vec::new();
    for (name, source) in &recipe.data {
        if let Some(path) = source.path.as_ref().filter(|_| !source.is_tokens()) {
            let corpus = Corpus::open(&spec(path.clone(), source))?;
            sources.push((name.clone(), corpus.files().count(), corpus.num_bytes()));
        }
    }
    Ok(Inputs { teacher, vocab_size, sources })
}

/// Refuses a search of which no candidate is within the budget, as far as can be said before anything is measured.
fn fits_budget(recipe: &Recipe, teacher: &ModelConfig) -> Result<(), Error> {
    if let (Some(search), Some(prune)) = (&recipe.search, &recipe.prune) {
        let shapes = space::shapes(recipe, prune, search, &recipe.uncut_shape(teacher)?)?;
        space::fitting(&shapes, search, recipe.tokens.seq_tokens, None)?;
    }
    Ok(())
}

/// Refuses a tokenizer of more ids than the model has embeddings.
///
/// # Errors
/// [`Error::Vocabulary`] if there are more.
pub fn check_vocabulary(tokenizer: &Path, found: u32, expected: usize) -> Result<(), Error> {
    if found as usize > expected {
        return Err(Error::Vocabulary { tokenizer: tokenizer.to_owned(), expected, found });
    }
    Ok(())
}
