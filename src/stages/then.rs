//! Smaller and smaller: a run for each `[then.<name>]`, in `then/<name>`, on the tokens of the first.

use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use super::data::Data;
use super::evaluate::Evaluated;
use crate::error::Error;
use crate::run::{Origin, RunDirectory};

/// Where the run of a `[then.<name>]` lies in the run.
fn directory(ctx: &Context, name: &str) -> PathBuf {
    ctx.run.path.join("then").join(name)
}

/// Runs what is left of the smaller students, and gives what they are worth.
///
/// # Errors
/// As [`run`](super::run).
pub fn then(ctx: &Arc<Context>, data: &Data) -> Result<Vec<(String, Evaluated)>, Error> {
    let mut previous = ctx.run.path.clone();
    let mut evaluated = Vec::new();
    for (name, then) in &ctx.run.recipe.then {
        let recipe = ctx.run.recipe.following(then, &ctx.run.path, &previous);
        let path = directory(ctx, name);
        let Origin { device, dtype, .. } = Origin::read(&ctx.run.path.join("origin.json"))?;
        ctx.progress.say(&format!("{}", path.display()));
        let inner = Arc::new(Context {
            run: RunDirectory::open(&path, recipe, &device, &dtype)?,
            device: ctx.device.clone(),
            working: ctx.working,
            workers: ctx.workers,
            hands: Vec::new(),
            stop: ctx.stop.clone(),
            progress: Arc::clone(&ctx.progress),
        });
        evaluated.extend(super::learn(&inner, data)?.map(|evaluated| (name.clone(), evaluated)));
        previous = path;
    }
    Ok(evaluated)
}
