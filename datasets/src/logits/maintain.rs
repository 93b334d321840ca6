//! What is done to a cache as a whole: merged, compacted, rid of what is damaged or no longer named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::layout::{Dir, shard_path};
use super::log::{Added, Log};
use super::writer::Sizes;
use super::{Cache, CacheWriter, LogitError};
use crate::store::{AtomicFile, StoreError, create_dir_all, digest_file, remove_file};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// The commit that did it; none, if there was nothing to do.
    pub commit: Option<u64>,
    /// How many shards came.
    pub added: u64,
    /// How many went.
    pub removed: u64,
}

/// Takes the samples of another cache into the one at `into`, which is made if it is not there. Shards are copied whole, and
/// only those that have a sample that `into` lacks, or has with fewer entries; they come with one commit, or not at all.
///
/// # Errors
/// [`LogitError::Other`] if it holds other logits; a damaged shard of `from`; what cannot be written.
pub fn merge(into: &Path, from: &Path) -> Result<Done, LogitError> {
    let from = Cache::open(from, None)?.whole()?;
    let dir = Dir(into.to_owned());
    dir.create(from.identity())?;
    let have = Cache::open(into, Some(from.identity()))?;
    let better: BTreeSet<usize> = from
        .entries()
        .filter(|entry| {
            have.entry(entry.id).is_none_or(|had| had.profile.most() < entry.profile.most())
        })
        .map(|entry| entry.shard)
        .collect();
    let mut adds = Vec::new();
    for (shard, (path, added)) in from.shards().enumerate() {
        if better.contains(&shard) {
            copy(path, added, &dir)?;
            adds.push(added.clone());
        }
    }
    let commit = Log::read(&dir, None)?.append(&dir, "merge", &adds, &[])?;
    let added = if commit.is_some() { adds.len() as u64 } else { 0 };
    Ok(Done { commit, added, removed: 0 })
}

/// Copies a shard, if its bytes are what was committed.
fn copy(path: &Path, added: &Added, dir: &Dir) -> Result<(), LogitError> {
    let expected = added.shard.digest;
    let found = digest_file(path).map_err(LogitError::store(path))?;
    if found != expected {
        let path = path.to_owned();
        let source = StoreError::PartDigest { path: path.clone(), expected, found };
        return Err(LogitError::Store { path, source });
    }
    let Some(to) = shard_path(&dir.0, &added.shard.file) else {
        let what = format!("`{}` is not the name of a shard", added.shard.file);
        return Err(LogitError::Import { path: path.to_owned(), what });
    };
    create_dir_all(to.parent().unwrap_or(&dir.0)).map_err(LogitError::store(&to))?;
    let mut out = AtomicFile::create(&to).map_err(LogitError::store(&to))?;
    fs::File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut out))
        .map_err(|source| StoreError::Io { path: to.clone(), operation: "copy", source })
        .map_err(LogitError::store(&to))?;
    out.commit().map(drop).map_err(LogitError::store(&to))
}

/// Writes the cache's shards anew, as few as may be and at a high level of Zstandard, each sample once. One commit removes
/// the old shards and adds the new ones; readers of an earlier commit go on, until [`collect`] takes the files.
///
/// # Errors
/// [`LogitError`], if a shard is damaged or one cannot be written: the cache is then as it was. Another writer's removal
/// meanwhile is [`LogitError::BadCommit`].
pub fn compact(dir: &Path, sizes: Sizes) -> Result<Done, LogitError> {
    let cache = Cache::open(dir, None)?;
    let mut profiles = BTreeMap::<String, Vec<usize>>::new();
    for (shard, (_, added)) in cache.shards().enumerate() {
        profiles.entry(added.profile.to_string()).or_default().push(shard);
    }
    let mut adds = Vec::new();
    for shards in profiles.into_values() {
        let profile = cache.shards().nth(shards[0]).map(|(_, added)| added.profile);
        // No shard ends by itself: `end_shard` says what it is, and the one commit comes at the end.
        let open = Sizes { shard_tokens: u64::MAX, ..sizes };
        let profile = profile.unwrap_or_default();
        let mut writer = CacheWriter::with_sizes(dir, cache.identity(), profile, open)?;
        let mut tokens = 0;
        for at in cache.groups().into_iter().filter(|group| shards.contains(&group.shard)) {
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let group = cache.group(number(at.shard), number(at.row_group))?;
            for row in 0..group.len() {
                let place = cache.place(group.names.ids[row], None)?;
                let here = (number(at.shard), number(at.row_group), number(row));
                if (place.shard, place.row_group, place.row) == here {
                    let row = group.row(row);
                    tokens += row.num_positions() as u64 + 1;
                    writer.push_row(row)?;
                }
                if tokens >= sizes.shard_tokens {
                    adds.extend(writer.end_shard()?);
                    tokens = 0;
                }
            }
        }
        adds.extend(writer.end_shard()?);
    }
    let written: BTreeSet<&str> = adds.iter().map(|added| added.shard.file.as_str()).collect();
    let old = cache.shards().map(|(_, added)| added.shard.file.clone());
    let removes: Vec<String> = old.filter(|file| !written.contains(file.as_str())).collect();
    let dir = Dir(dir.to_owned());
    let mut log = Log::read(&dir, None)?;
    if removes.is_empty() {
        return Ok(Done::default());
    }
    let commit = log.append(&dir, "compact", &adds, &removes)?;
    Ok(Done { commit, added: adds.len() as u64, removed: removes.len() as u64 })
}

/// Takes damaged shards out of the cache: their samples are then not in it, and can be captured again. The files stay.
///
/// # Errors
/// [`LogitError::BadCommit`] if one is not in the cache.
pub fn retire(dir: &Path, shards: &[PathBuf]) -> Result<Done, LogitError> {
    let at = Dir(dir.to_owned());
    at.identity()?;
    let name = |path: &PathBuf| {
        let name = path.strip_prefix(dir).unwrap_or(path);
        name.to_string_lossy().replace('\\', "/")
    };
    let removes: Vec<String> = shards.iter().map(name).collect();
    let commit = Log::read(&at, None)?.append(&at, "retire", &[], &removes)?;
    Ok(Done { commit, added: 0, removed: removes.len() as u64 })
}

/// Removes files that the newest commit does not name and that were not touched for a while: what interrupted writers left,
/// and shards that were compacted or retired. Earlier commits cannot be opened after that. Gives what was removed.
///
/// A writer that is still at work may have a shard that no commit names yet; it is younger.
///
/// # Errors
/// [`LogitError`], if the log cannot be read or a file cannot be removed.
pub fn collect(dir: &Path, untouched_for: Duration) -> Result<Vec<PathBuf>, LogitError> {
    let dir = Dir(dir.to_owned());
    dir.identity()?;
    let log = Log::read(&dir, None)?;
    let live: BTreeSet<PathBuf> =
        log.live(&dir)?.into_iter().map(|added| dir.0.join(&added.shard.file)).collect();
    let mut removed = Vec::new();
    let all = [files(&dir.data()), files(&dir.tmp()), hidden(&dir.log())];
    for path in all.into_iter().flatten().filter(|path| !live.contains(path)) {
        let touched = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let age = touched.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        if age.is_ok_and(|age| age >= untouched_for) {
            remove_file(&path).map_err(LogitError::store(&path))?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// The files in a directory and its directories, in order.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in dir.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.append(&mut self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn hidden(dir: &Path) -> Vec<PathBuf> {
    let is_hidden = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    files(dir).into_iter().filter(is_hidden).collect()
}
