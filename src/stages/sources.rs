//! The token shards of a run, wherever they lie, and the loader over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::loader::{LoadError, Loader, PackPlan, Settings, ShardGroups, Source, Step};
use datasets::pack::PackError;
use datasets::shard::{Folder, Header, LocalFolder, RemoteFolder, Shards};
use datasets::storage::{Location, Options};
use datasets::store::{Digest, sealed};
use serde::{Deserialize, Serialize};

use super::prepare::Kind;
use crate::error::Error;
use crate::recipe::{Packing, Recipe, Shuffle};

/// A source's name, and its shards.
pub type Opened = (String, Arc<Shards>);

/// Whether a location is the address of a store, and no path.
#[must_use]
pub fn is_address(location: &str) -> bool {
    location.contains("://")
}

/// A folder by its path or address.
///
/// # Errors
/// [`Error::Storage`] if an address is none, or its store cannot be spoken to.
pub fn folder(location: &str) -> Result<Arc<dyn Folder>, Error> {
    match Location::parse(location)? {
        Location::Local(path) => Ok(Arc::new(LocalFolder(path))),
        remote => Ok(Arc::new(RemoteFolder::open(&remote, Options::default())?)),
    }
}

/// Whether the shards of a folder have a manifest.
pub fn is_ours(folder: &dyn Folder) -> bool {
    folder.open("manifest.json").is_ok()
}

/// Takes in shards of ours that lie elsewhere, by a copy of their manifest in `dir`.
///
/// # Errors
/// [`Error::Shard`] if they cannot be read, or were made with another tokenizer.
pub fn take_in(
    folder: &dyn Folder,
    dir: &Path,
    expect_tokenizer: Option<Digest>,
) -> Result<Shards, Error> {
    let path = PathBuf::from(folder.name()).join("manifest.json");
    let manifest = folder
        .open("manifest.json")
        .and_then(|file| file.read(0..file.size()))
        .map_err(Error::io(&path, "read"))?;
    Ok(Shards::take_in(folder, &manifest, dir, expect_tokenizer)?)
}

/// The shards of a run's sources of one kind, by name; those that a source lacks are left out.
///
/// # Errors
/// See [`Error`].
pub fn open(run: &Path, recipe: &Recipe, kind: Kind) -> Result<Vec<Opened>, Error> {
    let mut opened = Vec::new();
    for (name, source) in &recipe.data {
        let dir = kind.dir(run, name);
        if !dir.join("manifest.json").exists() {
            continue;
        }
        let location = match kind {
            Kind::Train => &source.path,
            Kind::HeldOut => &source.held_out,
        };
        let shards = match location {
            Some(location) if source.is_tokens() => {
                Shards::open_in(&dir, &*folder(location)?, None)?
            }
            _ => Shards::open(&dir, None)?,
        };
        opened.push((name.clone(), Arc::new(shards)));
    }
    Ok(opened)
}

/// What the shards of a run have in common.
///
/// # Errors
/// [`Error::Malformed`] if there are none.
pub fn header(run: &Path, opened: &[Opened]) -> Result<Header, Error> {
    let missing = || Error::Malformed {
        path: PathBuf::from(run).join("tokens"),
        reason: "there is no training source in it".into(),
    };
    Ok(opened.first().ok_or_else(missing)?.1.header().clone())
}

/// The loader over sources: mixed as the recipe says, or held-out ones once, as they lie.
///
/// # Errors
/// [`Error::Loader`] for settings that do not go together with the data.
pub fn loader(
    run: &Path,
    recipe: &Recipe,
    opened: Vec<Opened>,
    kind: Kind,
    bos: Option<u32>,
    eos: Option<u32>,
) -> Result<Loader, Error> {
    let opened = if kind == Kind::HeldOut { long_enough(opened, recipe) } else { opened };
    let vocab_size = opened.first().map_or(0, |(_, shards)| shards.header().vocab_size);
    let seq_tokens = usize::try_from(recipe.tokens.seq_tokens).unwrap_or(usize::MAX);
    let is_training = kind == Kind::Train;
    let mut settings = Settings::new(seq_tokens, vocab_size);
    settings.bos = bos;
    settings.eos = eos;
    settings.seed = recipe.seed;
    settings.packing = recipe.tokens.packing;
    settings.shuffle = if is_training { recipe.tokens.shuffle } else { Shuffle::None };
    settings.window_tokens = recipe.tokens.shuffle_window.map(|tokens| tokens.get());
    if is_training {
        let phase = |phase: &crate::recipe::Phase| Step {
            from_tokens: phase.after.get(),
            weights: phase.weights.iter().map(|(name, weight)| (name.clone(), *weight)).collect(),
        };
        settings.schedule = recipe.mixture.values().map(phase).collect();
        settings.schedule.sort_by_key(|step| step.from_tokens);
    }
    let source = |(name, shards): Opened| {
        let given = recipe.data.get(&name);
        let tokens: u64 = shards.groups().iter().map(|group| group.tokens).sum();
        #[expect(clippy::cast_precision_loss, reason = "a proportion")]
        let by_size = tokens as f64;
        Source {
            weight: given
                .and_then(|source| source.weight)
                .filter(|_| is_training)
                .unwrap_or(by_size),
            epochs: if is_training { given.and_then(|source| source.epochs) } else { Some(1) },
            groups: Arc::new(ShardGroups::new(shards)),
            pack_plan: kept_plan(run, recipe, kind, &name),
            name,
        }
    };
    let names: Vec<String> = opened.iter().map(|(name, _)| name.clone()).collect();
    let too_short = |error| match error {
        LoadError::TooShort { tokens: have, need, .. } => {
            let which = if is_training { "training" } else { "held-out" };
            Error::Pack { which, source: PackError::TooShort { have, need } }
        }
        error => error.into(),
    };
    let sources = opened.into_iter().map(source).collect();
    let loader = Loader::open(sources, &settings).map_err(too_short)?;
    // With the plans kept, a run that is resumed reads no lengths.
    if settings.packing == Packing::BestFit {
        for (name, plan) in names.iter().zip(loader.pack_plans()) {
            if kept_plan(run, recipe, kind, name).as_ref() != Some(plan) {
                let kept = Kept { plan: plan.clone() };
                sealed::write(&plan_path(run, recipe, kind, name), &kept)?;
            }
        }
    }
    Ok(loader)
}

/// The sources whose held-out text fills a sequence by itself, or all if none does: a small source may have too little
/// held out of it, and the others are scored.
fn long_enough(opened: Vec<Opened>, recipe: &Recipe) -> Vec<Opened> {
    let tokens = |shards: &Shards| shards.groups().iter().map(|group| group.tokens).sum::<u64>();
    let is_long = |(_, shards): &Opened| tokens(shards) > recipe.tokens.seq_tokens;
    if opened.iter().any(is_long) { opened.into_iter().filter(is_long).collect() } else { opened }
}

/// A plan in a file of its own: both have a digest.
#[derive(Serialize, Deserialize)]
struct Kept {
    plan: PackPlan,
}

fn plan_path(run: &Path, recipe: &Recipe, kind: Kind, name: &str) -> PathBuf {
    kind.dir(run, name).join(format!("bins-{}.json", recipe.tokens.seq_tokens))
}

/// The plan that an earlier start made, if it is whole; whether it fits, the loader checks.
fn kept_plan(run: &Path, recipe: &Recipe, kind: Kind, name: &str) -> Option<PackPlan> {
    sealed::read::<Kept>(&plan_path(run, recipe, kind, name)).ok().map(|(kept, _)| kept.plan)
}
