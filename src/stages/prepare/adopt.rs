//! Sources that are tokens already: looked at, and taken into the run by a manifest of their own.

use std::path::Path;
use std::sync::Arc;

use datasets::shard::{Folder, Header, Shards};
use datasets::store::create_dir_all;

use super::Kind;
use crate::error::Error;
use crate::recipe::{Recipe, Source};
use crate::stages::context::Context;
use crate::stages::sources::{folder, is_ours, take_in};

/// What was taken in.
#[derive(Default)]
pub(super) struct TakenIn {
    pub(super) documents: u64,
    /// Tokens to train on.
    pub(super) train: u64,
    /// Tokens held out.
    pub(super) held_out: u64,
}

/// Takes in the sources of tokens.
///
/// # Errors
/// See [`Error`].
pub(super) fn adopt(ctx: &Context, header: &Header) -> Result<TakenIn, Error> {
    let recipe: &Recipe = &ctx.run.recipe;
    let mut all = TakenIn::default();
    for (name, source) in recipe.data.iter().filter(|(_, source)| source.is_tokens()) {
        for (kind, location, sum) in [
            (Kind::Train, &source.path, &mut all.train),
            (Kind::HeldOut, &source.held_out, &mut all.held_out),
        ] {
            let Some(location) = location else { continue };
            let dir = kind.dir(&ctx.run.path, name);
            create_dir_all(&dir)?;
            let shards = one(source, location, header, &dir)?;
            for group in shards.groups() {
                *sum += group.tokens;
                all.documents += group.rows;
            }
        }
    }
    Ok(all)
}

/// One folder: by its own manifest if it is ours, or read once for one.
fn one(source: &Source, location: &str, header: &Header, dir: &Path) -> Result<Shards, Error> {
    let folder: Arc<dyn Folder> = folder(location)?;
    if !is_ours(&*folder) {
        return Ok(Shards::adopt(&*folder, source.field(), header, dir)?);
    }
    take_in(&*folder, dir, Some(header.tokenizer))
}
