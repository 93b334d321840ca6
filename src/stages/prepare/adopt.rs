//! Sources that are tokens already: looked at, and taken into the run by a manifest of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::shard::{Folder, Header, Shards};
use datasets::store::create_dir_all;

use super::Kind;
use crate::error::Error;
use crate::recipe::{Recipe, Source};
use crate::stages::context::Context;
use crate::stages::sources::{folder, is_ours};

/// Takes in the sources of tokens, and gives the tokens that are trained on and held out.
///
/// # Errors
/// See [`Error`].
pub(super) fn adopt(ctx: &Context, header: &Header) -> Result<(u64, u64), Error> {
    let recipe: &Recipe = &ctx.run.recipe;
    let (mut train, mut held_out) = (0, 0);
    for (name, source) in recipe.data.iter().filter(|(_, source)| source.is_tokens()) {
        for (kind, location, sum) in [
            (Kind::Train, &source.path, &mut train),
            (Kind::HeldOut, &source.held_out, &mut held_out),
        ] {
            let Some(location) = location else { continue };
            let dir = kind.dir(&ctx.run.path, name);
            create_dir_all(&dir)?;
            let shards = one(source, location, header, &dir)?;
            *sum += shards.groups().iter().map(|group| group.tokens).sum::<u64>();
        }
    }
    Ok((train, held_out))
}

/// One folder: by its own manifest if it is ours, or read once for one.
fn one(source: &Source, location: &str, header: &Header, dir: &Path) -> Result<Shards, Error> {
    let folder: Arc<dyn Folder> = folder(location)?;
    if !is_ours(&*folder) {
        return Ok(Shards::adopt(&*folder, source.field(), header, dir)?);
    }
    let path = PathBuf::from(folder.name()).join("manifest.json");
    let manifest = folder
        .open("manifest.json")
        .and_then(|file| file.read(0..file.size()))
        .map_err(Error::io(&path, "read"))?;
    Ok(Shards::take_in(&*folder, &manifest, header, dir)?)
}
