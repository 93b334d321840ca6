//! The multiple-choice items that a recipe names, in the tokens of the run.

use std::path::Path;

use datasets::tokenizer::Tokenizer;

use super::Context;
use super::data::Data;
use super::inputs::check_vocabulary;
use super::models::teacher_config;
use crate::error::Error;
use crate::eval::choice::{Encoding, Questions};
use crate::model::ModelConfig;

/// The items of a file for a model of that shape, in micro-batches of `batch` choices.
///
/// # Errors
/// [`Error::Choice`] for the first item that does not do; [`Error::Tokenizer`] if the tokenizer cannot be read.
pub fn questions(
    path: &str,
    data: &Data,
    model: &ModelConfig,
    batch: u64,
) -> Result<Questions, Error> {
    let tokenizer = Tokenizer::load(&data.tokenizer)?;
    check_vocabulary(&data.tokenizer, tokenizer.vocab_size(), model.vocab_size)?;
    let max_tokens = model.max_position_embeddings;
    let encoding = Encoding { tokenizer: &tokenizer, bos: data.bos, max_tokens };
    Ok(Questions::read(Path::new(path), &encoding, batch)?)
}

/// Refuses items that do not do before any model is trained: they are asked at the end.
///
/// # Errors
/// As [`questions`].
pub fn check(ctx: &Context, data: &Data) -> Result<(), Error> {
    for path in ctx.run.recipe.items().filter(|_| !ctx.run.is_over()) {
        questions(path, data, &teacher_config(ctx, data)?, 1)?;
    }
    Ok(())
}
