//! Which shards are in the cache: a log of commits, each a file that never changes.
//!
//! A commit is `_tlc/log/<number>.json`, the numbers from 0 without a gap. It names the shards that come and those that go;
//! the cache at commit `n` is what all up to it have left. A commit is made by creating the file of the next number,
//! which the file system lets one writer do: whoever comes second reads what the first one did, and tries the number
//! after. So any number of writers, in any process, add shards side by side without a lock, and one that is killed leaves
//! at most a file that no commit names.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::{Dir, VERSION};
use super::stored::{List, RowRef};
use super::{LogitError, Profile};
use crate::shard::{Checksum, SampleId, ShardEntry};
use crate::store::{digest_bytes, sealed, trial};

/// A shard that a commit adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// Its file, in the cache, and its hashes.
    pub shard: ShardEntry,
    /// How its rows were kept.
    pub profile: Profile,
    /// How many samples it has.
    pub samples: u64,
    /// How many tokens they have.
    pub tokens: u64,
    /// How many distributions they have.
    pub positions: u64,
    /// How many entries these have.
    pub entries: u64,
    /// The hash of its rows' ids and lengths, in order: by it an index is checked.
    pub names: Checksum,
}

/// A change of the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    version: u32,
    /// Its place in the log.
    pub number: u64,
    /// What made it: `capture`, `merge`, …
    pub reason: String,
    /// The shards that came.
    pub adds: Vec<Added>,
    /// The files of the shards that went.
    pub removes: Vec<String>,
}

/// The log, as far as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) commits: Vec<Commit>,
}

/// Hashes the names and lengths of rows.
#[derive(Default)]
pub(super) struct RowNames(Vec<u8>);

impl RowNames {
    pub(super) fn push(&mut self, id: SampleId, num_tokens: usize) {
        self.0.extend_from_slice(&id.0);
        self.0.extend_from_slice(&(num_tokens as u64).to_le_bytes());
    }

    pub(super) fn checksum(&self) -> Checksum {
        Checksum::of(&self.0)
    }
}

impl Added {
    pub(super) fn new(profile: &Profile) -> Self {
        let nothing = Checksum::of(&[]);
        let shard = ShardEntry {
            file: String::new(),
            bytes: 0,
            digest: digest_bytes(&[]),
            row_groups: Vec::new(),
            footer: nothing,
        };
        let (samples, tokens, positions, entries) = (0, 0, 0, 0);
        Self { shard, profile: *profile, samples, tokens, positions, entries, names: nothing }
    }

    pub(super) fn count(&mut self, row: RowRef<'_>) {
        self.samples += 1;
        self.tokens += row.list(List::Tokens).len() as u64;
        self.positions += row.num_positions() as u64;
        self.entries += row.list(List::Ids).len() as u64;
    }
}

impl Log {
    /// Reads the log up to a commit, or all of it.
    pub(super) fn read(dir: &Dir, up_to: Option<u64>) -> Result<Self, LogitError> {
        let mut log = Self::default();
        let end = match up_to {
            Some(number) => number.saturating_add(1),
            None => newest(&dir.log()).map_or(0, |newest| newest.saturating_add(1)),
        };
        log.read_on(dir, end)?;
        Ok(log)
    }

    /// Reads what was committed since.
    fn read_on(&mut self, dir: &Dir, end: u64) -> Result<(), LogitError> {
        for number in self.commits.len() as u64..end {
            let path = dir.commit(number);
            if !path.exists() {
                return Err(LogitError::NoCommit { path });
            }
            let (commit, _) = sealed::read::<Commit>(&path).map_err(LogitError::store(&path))?;
            if commit.version != VERSION {
                let found = commit.version;
                return Err(LogitError::Version { path, expected: VERSION, found });
            }
            self.commits.push(commit);
        }
        Ok(())
    }

    /// The shards that are there, in the order in which they came.
    pub(super) fn live(&self, dir: &Dir) -> Result<Vec<&Added>, LogitError> {
        let mut live = BTreeMap::<&str, (usize, &Added)>::new();
        let mut next = 0;
        for commit in &self.commits {
            for file in &commit.removes {
                if live.remove(file.as_str()).is_none() {
                    let (path, number) = (dir.0.clone(), commit.number);
                    return Err(LogitError::BadCommit { path, number, file: file.clone() });
                }
            }
            for added in &commit.adds {
                live.entry(&added.shard.file).or_insert((next, added));
                next += 1;
            }
        }
        let mut live: Vec<_> = live.into_values().collect();
        live.sort_by_key(|(place, _)| *place);
        Ok(live.into_iter().map(|(_, added)| added).collect())
    }

    /// Appends a commit, after whatever others append meanwhile, and gives its number. What it adds and is there already
    /// it leaves out; if nothing is left, there is no commit.
    pub(super) fn append(
        &mut self,
        dir: &Dir,
        reason: &str,
        adds: &[Added],
        removes: &[String],
    ) -> Result<Option<u64>, LogitError> {
        trial::reached("staged");
        loop {
            let end = newest(&dir.log()).map_or(0, |newest| newest.saturating_add(1));
            self.read_on(dir, end)?;
            let live = self.live(dir)?;
            let is_live = |file: &str| live.iter().any(|added| added.shard.file == file);
            let number = self.commits.len() as u64;
            if let Some(file) = removes.iter().find(|file| !is_live(file)) {
                let (path, file) = (dir.0.clone(), file.clone());
                return Err(LogitError::BadCommit { path, number, file });
            }
            let new = adds.iter().filter(|added| !is_live(&added.shard.file));
            let adds: Vec<Added> = new.cloned().collect();
            if adds.is_empty() && removes.is_empty() {
                return Ok(None);
            }
            let (version, reason) = (VERSION, reason.to_owned());
            let commit = Commit { version, number, reason, adds, removes: removes.to_vec() };
            let path = dir.commit(number);
            let made = sealed::write_new(&path, &commit).map_err(LogitError::store(&path))?;
            if made.is_some() {
                trial::reached("committed");
                self.commits.push(commit);
                return Ok(Some(number));
            }
        }
    }
}

/// The largest number of a commit's file.
fn newest(log: &Path) -> Option<u64> {
    let entries = log.read_dir().ok()?.flatten();
    let number = |name: &str| name.strip_suffix(".json")?.parse().ok();
    entries.filter_map(|entry| number(&entry.file_name().to_string_lossy())).max()
}
