//! The caches that a run fills and reads: whose logits they are, which samples are wanted, and where they come from.
//!
//! | module | what |
//! |---|---|
//! | [`whose`] | the identity of what a run captures, or expects to find |
//! | [`wanted`] | the samples of a run's text, and which of them a cache lacks |
//! | [`cached`] | the lessons of `[distil]` out of a cache, and a teacher for what is not there |

pub mod cached;
pub mod wanted;
pub mod whose;

use std::path::PathBuf;

use super::context::Context;
use crate::recipe::capture::DEFAULT_DIR;

/// Where the cache is that `[capture]` fills.
pub fn captured_in(ctx: &Context) -> PathBuf {
    let named = ctx.run.recipe.capture.as_ref().and_then(|capture| capture.dir.as_ref());
    named.map_or_else(|| ctx.run.path.join(DEFAULT_DIR), PathBuf::from)
}

/// Where the cache is that `[distil]` reads, if it reads one.
pub fn read_from(ctx: &Context) -> Option<PathBuf> {
    let logits = ctx.run.recipe.logits.as_ref()?;
    Some(logits.dir.as_ref().map_or_else(|| captured_in(ctx), PathBuf::from))
}
