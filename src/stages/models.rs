//! The models of a run, wherever they lie: in a directory, in a checkpoint, or one cut away from being.

use std::path::{Path, PathBuf};

use datasets::store::digest_bytes;
use kernels::DType;

use super::context::Context;
use super::data::Data;
use super::train::{STATE, TEACHER};
use crate::distill::state;
use crate::error::Error;
use crate::model::{Decoder, ModelConfig};
use crate::prune::{PrunePlan, cut};
use crate::recipe::read_plan;
use crate::run::Origin;
use crate::weights::{ModelDirectory, load};

/// The teacher's shape.
///
/// # Errors
/// [`Error::Recipe`] if it cannot be read.
pub fn teacher_config(ctx: &Context, data: &Data) -> Result<ModelConfig, Error> {
    let mut config = ctx.run.recipe.teacher_shape(data.header.vocab_size as usize)?;
    if ctx.run.recipe.pretrain.is_some() {
        // What transformers looks up when it generates.
        for (key, id) in
            [("bos_token_id", data.header.bos_id), ("eos_token_id", data.header.eos_id)]
        {
            if let Some(id) = id {
                config.other.insert(key.to_owned(), id.into());
            }
        }
    }
    Ok(config)
}

/// The teacher, in f32: the one that the student learnt from last.
///
/// # Errors
/// As [`uncorrected`].
pub fn teacher(ctx: &Context, data: &Data) -> Result<Decoder, Error> {
    match ctx.run.recipe.correction_beside() {
        Some(_) => left(ctx, "distil", TEACHER, &teacher_config(ctx, data)?),
        None => original(ctx, data),
    }
}

/// The model that is cut, in f32: the teacher that was given or trained, or what its correction before all else made of it.
///
/// # Errors
/// As [`uncorrected`].
pub fn original(ctx: &Context, data: &Data) -> Result<Decoder, Error> {
    match ctx.run.recipe.correction_before() {
        Some(_) => trained(ctx, "correct", &teacher_config(ctx, data)?),
        None => uncorrected(ctx, data),
    }
}

/// The teacher that was given or trained, in f32.
///
/// # Errors
/// [`Error::Weights`] if its directory, [`Error::NoCheckpoint`] or [`Error::State`] if its checkpoint is not whole.
pub fn uncorrected(ctx: &Context, data: &Data) -> Result<Decoder, Error> {
    match (&ctx.run.recipe.pretrain, &ctx.run.recipe.teacher.model) {
        (None, Some(directory)) => given(ctx, directory),
        _ => trained(ctx, "pretrain", &teacher_config(ctx, data)?),
    }
}

/// The plan's file.
pub fn plan_path(ctx: &Context) -> PathBuf {
    ctx.run.path.join("plan.toml")
}

/// The model that is cut, in f32: the one that the recipe names, else the [`original`].
///
/// # Errors
/// As [`uncorrected`].
pub fn uncut(ctx: &Context, data: &Data) -> Result<Decoder, Error> {
    match other(ctx) {
        Some(directory) => given(ctx, directory),
        None => original(ctx, data),
    }
}

/// The [`original`], where the [`uncut`] is at hand: they are one, unless the recipe names another to cut.
///
/// # Errors
/// As [`uncorrected`].
pub fn original_beside(ctx: &Context, data: &Data, uncut: &Decoder) -> Result<Decoder, Error> {
    match other(ctx) {
        Some(_) => original(ctx, data),
        None => Ok(uncut.clone()),
    }
}

/// The shape of the [`uncut`].
///
/// # Errors
/// [`Error::Recipe`] if it cannot be read.
pub fn uncut_config(ctx: &Context, data: &Data) -> Result<ModelConfig, Error> {
    Ok(ctx.run.recipe.uncut_shape(&teacher_config(ctx, data)?)?)
}

/// The directory of the model that is cut, if that is not the teacher.
fn other(ctx: &Context) -> Option<&str> {
    ctx.run.recipe.prune.as_ref()?.model.as_deref()
}

fn given(ctx: &Context, directory: &str) -> Result<Decoder, Error> {
    let directory = ModelDirectory::open(Path::new(directory))?;
    Ok(load(&directory, &ctx.device, DType::F32)?)
}

/// The plan that [`prune`](super::prune) wrote, if the recipe prunes.
///
/// # Errors
/// [`Error::Recipe`] if it is not one or does not fit the teacher, [`Error::Plan`] if it is of another.
pub fn plan(ctx: &Context, teacher: &ModelConfig) -> Result<Option<PrunePlan>, Error> {
    if ctx.run.recipe.prune.is_none() {
        return Ok(None);
    }
    let plan = read_plan(&plan_path(ctx), Some(teacher))?;
    plan.check_origin(&uncut_digest(ctx)?, super::observe::scores_digest(ctx).as_deref())?;
    Ok(Some(plan))
}

/// The digest of what the model that is cut is made of: of its directory's files by their names, or of what it was trained to.
///
/// # Errors
/// [`Error::Store`] if the run's `origin.json` cannot be read, [`Error::NoCheckpoint`] if it is not trained.
pub fn uncut_digest(ctx: &Context) -> Result<String, Error> {
    let mut text = String::new();
    let recipe = &ctx.run.recipe;
    let made_by = match (other(ctx), &recipe.pretrain, recipe.correction_before()) {
        (Some(_), ..) => None,
        (None, _, Some(_)) => Some("correct"),
        (None, Some(_), None) => Some("pretrain"),
        (None, None, None) => None,
    };
    match (made_by, other(ctx).or(recipe.teacher.model.as_deref())) {
        (None, Some(directory)) => {
            let inputs = Origin::read(&ctx.run.path.join("origin.json"))?.inputs;
            let directory = Path::new(directory);
            for (path, digest) in &inputs {
                if let Ok(name) = Path::new(path).strip_prefix(directory) {
                    text.push_str(&format!("{} {digest}\n", name.display()));
                }
            }
        }
        (stage, _) => {
            let stage = stage.unwrap_or("pretrain");
            let newest = ctx.run.newest_checkpoint(stage)?;
            let state = newest.parts.iter().find(|part| part.name == STATE);
            let state = state.ok_or_else(|| ctx.run.no_checkpoint(stage))?;
            text.push_str(&format!("{STATE} {}\n", state.digest));
        }
    }
    Ok(digest_bytes(text.as_bytes()).to_string())
}

/// The [`original`], where the teacher at its end is at hand: they are one, unless it is corrected while it teaches.
///
/// # Errors
/// As [`original`].
pub fn original_of(ctx: &Context, data: &Data, teacher: &Decoder) -> Result<Decoder, Error> {
    match ctx.run.recipe.correction_beside() {
        Some(_) => original(ctx, data),
        None => Ok(teacher.clone()),
    }
}

/// The student before distillation: the [`uncut`], where the [`original`] is at hand, cut.
///
/// # Errors
/// As [`plan`].
pub fn pruned(ctx: &Context, original: &Decoder) -> Result<Decoder, Error> {
    let uncut = match other(ctx) {
        Some(directory) => given(ctx, directory)?,
        None => original.clone(),
    };
    match plan(ctx, &uncut.config)? {
        Some(plan) => Ok(cut(&uncut, &plan)?),
        None => Ok(uncut),
    }
}

/// What a training stage left, in f32.
///
/// # Errors
/// [`Error::NoCheckpoint`] or [`Error::State`] if it is not whole.
pub fn trained(ctx: &Context, stage: &str, config: &ModelConfig) -> Result<Decoder, Error> {
    left(ctx, stage, STATE, config)
}

/// What a part of a training stage's last checkpoint holds, in f32.
fn left(ctx: &Context, stage: &str, part: &str, config: &ModelConfig) -> Result<Decoder, Error> {
    let newest = ctx.run.newest_checkpoint(stage)?;
    let path = newest.part(part).ok_or_else(|| ctx.run.no_checkpoint(stage))?;
    Ok(state::read(&path, config, &ctx.device)?.0)
}
