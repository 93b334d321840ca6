//! The models that the run made, as Hugging Face directories.
//!
//! A student that is only cut, out of a model that was given, is made from directory to directory, tensor by tensor:
//! neither model is ever in memory. It is made before the models are evaluated, which are in memory for that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::context::Context;
use super::data::Data;
use super::models;
use crate::error::Error;
use crate::model::{Decoder, ModelConfig};
use crate::prune::cut_directory;
use crate::recipe::{ExportDtype, Recipe};
use crate::weights::directory::read_config;
use crate::weights::{ModelDirectory, StoredType, save};

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
    if only_cut(recipe).is_some() {
        cut_student(ctx, data)?;
        ctx.run.write_seal(STAGE, json!({"models": ["student"]}))?;
        return Ok(());
    }
    // Such as where logits are all that is made: the teacher is not read for nothing.
    if !recipe.makes_teacher() && recipe.prune.is_none() && recipe.distil.is_none() {
        ctx.run.write_seal(STAGE, json!({"models": []}))?;
        return Ok(());
    }
    let dtype = stored_type(recipe)?;
    let write = |name: &str, decoder: &Decoder| -> Result<(), Error> {
        let dir = directory(ctx, name);
        // What is there is whole, and is what would be written: a directory appears by one rename.
        if !dir.exists() {
            save(decoder, &dir, dtype, recipe.export.max_shard_bytes.get(), Some(&data.tokenizer))?;
        }
        say(ctx, &dir, &decoder.config);
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

/// Makes the student of a run in which nothing is trained, if it is not there.
///
/// # Errors
/// [`Error::Weights`] if the teacher cannot be read or the student cannot be written.
pub fn cut_student(ctx: &Context, data: &Data) -> Result<(), Error> {
    let recipe = &ctx.run.recipe;
    let (Some(given), None) = (only_cut(recipe), ctx.run.seal(STAGE)) else { return Ok(()) };
    let dir = directory(ctx, "student");
    let (teacher, _) = read_config(given)?;
    let Some(plan) = models::plan(ctx, &teacher)? else { return Ok(()) };
    // As above.
    if !dir.exists() {
        let (stored, limit) = (stored_type(recipe)?, recipe.export.max_shard_bytes.get());
        let teacher = ModelDirectory::open(given)?;
        cut_directory(&teacher, &plan, &dir, stored, limit, Some(&data.tokenizer))?;
        say(ctx, &dir, &plan.student(&teacher.config));
    }
    Ok(())
}

/// The directory of the model that is cut, if the recipe does nothing else to one.
fn only_cut(recipe: &Recipe) -> Option<&Path> {
    let trains = recipe.makes_teacher() || recipe.distil.is_some();
    let prune = recipe.prune.as_ref()?;
    let given = prune.model.as_deref().or(recipe.teacher.model.as_deref()).map(Path::new);
    given.filter(|_| !trains)
}

fn directory(ctx: &Context, name: &str) -> PathBuf {
    ctx.run.path.join("models").join(name)
}

fn say(ctx: &Context, dir: &Path, config: &ModelConfig) {
    let note = config.exported_as().map_or(String::new(), |note| format!(" ({note})"));
    ctx.progress.say(&format!("{STAGE:>9}: {}{note}", dir.display()));
}

/// The type of exported weights.
fn stored_type(recipe: &Recipe) -> Result<StoredType, Error> {
    Ok(match recipe.export.dtype {
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
    })
}
