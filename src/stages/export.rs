//! The models that the run made, as Hugging Face directories.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::context::Context;
use super::data::Data;
use super::models;
use crate::error::Error;
use crate::model::Decoder;
use crate::recipe::ExportDtype;
use crate::weights::directory::read_config;
use crate::weights::{StoredType, save};

/// Its name.
pub const STAGE: &str = "export";

/// Writes `models/`, if that is not done.
///
/// # Errors
/// [`Error::Weights`] if a directory cannot be written; see [`Error`].
pub fn export(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    if ctx.run.seal(STAGE).is_some() {
        return Ok(());
    }
    let recipe = &ctx.run.recipe;
    let dtype = match recipe.export.dtype {
        ExportDtype::F32 => StoredType::F32,
        ExportDtype::Bf16 => StoredType::Bf16,
        ExportDtype::F16 => StoredType::F16,
        ExportDtype::Teacher => match &recipe.teacher.model {
            Some(model) => {
                read_config(Path::new(model))?.1.and_then(|name| StoredType::from_torch(&name))
            }
            None => None,
        }
        .unwrap_or(StoredType::F32),
    };
    let write = |name: &str, decoder: &Decoder| -> Result<(), Error> {
        let dir = ctx.run.path.join("models").join(name);
        // What is there is whole, and is what would be written: a directory appears by one rename.
        if !dir.exists() {
            save(decoder, &dir, dtype, recipe.export.max_shard_bytes.get(), Some(&data.tokenizer))?;
        }
        ctx.progress.say(&format!("{STAGE:>9}: {}", dir.display()));
        Ok(())
    };
    let mut made = Vec::new();
    let teacher = models::teacher(ctx, data)?;
    if recipe.makes_teacher() {
        write("teacher", &teacher)?;
        made.push("teacher");
    }
    if recipe.prune.is_some() || recipe.distil.is_some() {
        let mut student = models::pruned(ctx, &models::original_of(ctx, data, &teacher)?)?;
        let config = student.config.clone();
        if recipe.distil.is_some() {
            student = models::trained(ctx, "distil", &config)?;
        }
        write("student", &student)?;
        made.push("student");
        if recipe.control.is_some() {
            write("control", &models::trained(ctx, "control", &config)?)?;
            made.push("control");
        }
    }
    ctx.run.write_seal(STAGE, json!({"models": made}))?;
    Ok(())
}
