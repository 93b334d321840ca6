//! Whether a cache is what it says: every damaged file is named, not only the first.
//!
//! | level | what is looked at |
//! |---|---|
//! | 0 | the format, the log, and of each committed shard its file, length, footer, names of rows |
//! | 1 | the digest of every file, and the hash of every row group |
//! | 2 | every row, decoded: counts, codes, ids, masses, and its own hash |
//! | 3 | samples replayed by the teacher, beside a control |
//! | 4 | how much the cut costs, against the whole distribution |
//!
//! The last two need a teacher; whoever has one hands over a closure that makes them.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cache::Shard;
use super::group::Group;
use super::layout::Dir;
use super::log::Log;
use super::maintain::files;
use super::open::open_shard;
use super::{Cache, Identity, LogitError, RowFault};
use crate::parquet_file;
use crate::store::digest_file;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The level that found it.
    pub level: u8,
    /// Whether it is harm; if not, it is only said.
    pub is_damage: bool,
    /// The file, or the cache.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_damage { "damaged" } else { "note" };
        write!(f, "{kind}: `{}`: {}", self.path.display(), self.what)
    }
}

/// What verification says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verdict {
    /// What was found, in order.
    pub findings: Vec<Finding>,
    /// How many shards were looked at.
    pub shards: u64,
    /// How many samples they have.
    pub samples: u64,
    /// How many tokens.
    pub tokens: u64,
}

impl Verdict {
    /// Whether nothing is damaged.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| !finding.is_damage)
    }

    fn damage(&mut self, level: u8, path: &Path, what: impl Into<String>) {
        let (path, what) = (path.to_owned(), what.into());
        self.findings.push(Finding { level, is_damage: true, path, what });
    }
}

/// A check that needs the teacher: of a level, of a cache, what is found.
pub type TeacherCheck<'a> =
    dyn FnMut(u8, &Cache) -> Result<Vec<Finding>, Box<dyn Error + Send + Sync>> + 'a;

/// Verifies the cache at `dir` up to a level.
///
/// # Errors
/// [`LogitError::NotACache`]; [`LogitError::Level`] if the level needs a teacher and there is none;
/// [`LogitError::Teacher`] if its check cannot be made. Damage is no error: it is what is asked for.
pub fn verify(
    dir: &Path,
    level: u8,
    teacher: Option<&mut TeacherCheck<'_>>,
) -> Result<Verdict, LogitError> {
    if level > 4 || (level > 2 && teacher.is_none()) {
        return Err(LogitError::Level { level });
    }
    let dir = Dir(dir.to_owned());
    let mut verdict = Verdict::default();
    let identity = match dir.identity() {
        Ok(identity) => identity,
        Err(error @ LogitError::NotACache { .. }) => return Err(error),
        Err(error) => {
            verdict.damage(0, &dir.format(), chain(&error));
            return Ok(verdict);
        }
    };
    let log = match Log::read(&dir, None) {
        Ok(log) => log,
        Err(error) => {
            let path = match &error {
                LogitError::Store { path, .. }
                | LogitError::NoCommit { path }
                | LogitError::Version { path, .. } => path.clone(),
                _ => dir.log(),
            };
            verdict.damage(0, &path, chain(&error));
            return Ok(verdict);
        }
    };
    let live = match log.live(&dir) {
        Ok(live) => live,
        Err(error) => {
            verdict.damage(0, &dir.log(), chain(&error));
            return Ok(verdict);
        }
    };
    let committed: BTreeSet<PathBuf> =
        live.iter().map(|added| dir.0.join(&added.shard.file)).collect();
    for added in live {
        verdict.shards += 1;
        verdict.samples += added.samples;
        verdict.tokens += added.tokens;
        match open_shard(&dir, added) {
            Err((path, error)) => verdict.damage(0, &path, chain(&error)),
            Ok((shard, _)) => verdict.shard(&shard, &identity, level),
        }
    }
    for path in files(&dir.data()).into_iter().filter(|path| !committed.contains(path)) {
        let what =
            "no commit names it: a writer was interrupted, or a commit removed it".to_owned();
        verdict.findings.push(Finding { level: 0, is_damage: false, path, what });
    }
    if let Some(teacher) = teacher.filter(|_| level > 2 && verdict.is_good()) {
        let cache = Cache::open(&dir.0, None)?;
        for level in 3..=level {
            verdict.findings.extend(teacher(level, &cache).map_err(LogitError::Teacher)?);
        }
    }
    Ok(verdict)
}

impl Verdict {
    fn shard(&mut self, shard: &Shard, identity: &Identity, level: u8) {
        if let Err(what) = footer_of(shard, identity) {
            self.damage(0, &shard.path, what);
        }
        if level == 0 {
            return;
        }
        match digest_file(&shard.path) {
            Err(error) => return self.damage(1, &shard.path, chain(&error)),
            Ok(found) if found != shard.added.shard.digest => {
                let expected = shard.added.shard.digest;
                self.damage(1, &shard.path, format!("its digest is {found}, expected {expected}"));
            }
            Ok(_) => {}
        }
        for row_group in 0..shard.added.shard.row_groups.len() {
            let decoded = if level == 1 {
                shard.file.open(row_group).map(drop).map_err(LogitError::from)
            } else {
                rows(shard, row_group, identity)
            };
            if let Err(error) = decoded {
                self.damage(level.min(2), &shard.path, chain(&error));
            }
        }
    }
}

/// Whether a shard's footer speaks of this cache.
fn footer_of(shard: &Shard, identity: &Identity) -> Result<(), String> {
    let (_, metadata) = parquet_file::open(&shard.path).map_err(|error| chain(&error))?;
    let file = metadata.metadata().file_metadata();
    let notes = file.key_value_metadata().into_iter().flatten();
    let mut fingerprints = notes.filter(|note| note.key == "tlc.fingerprint");
    let found = fingerprints.next().and_then(|note| note.value.clone()).unwrap_or_default();
    let expected = identity.fingerprint().to_string();
    if found != expected {
        return Err(format!("its footer is of the logits {found:?}, expected {expected:?}"));
    }
    let groups = &shard.added.shard.row_groups;
    let found: Vec<i64> = metadata.metadata().row_groups().iter().map(|g| g.num_rows()).collect();
    let expected: Vec<i64> = groups.iter().map(|g| i64::try_from(g.rows).unwrap_or(-1)).collect();
    if found == expected {
        return Ok(());
    }
    Err(format!("its row groups have {found:?} rows, expected {expected:?}"))
}

/// Every row of a row group.
fn rows(shard: &Shard, row_group: usize, identity: &Identity) -> Result<(), LogitError> {
    let group = Group::read(&shard.file, row_group, identity.temperatures.len())?;
    for row in 0..group.len() {
        let stored = group.row(row);
        let check = || {
            let (expected, found) =
                (group.names.num_tokens[row] as usize, stored.num_positions() + 1);
            if expected != found {
                return Err(RowFault::Length { what: "input_ids", expected, found });
            }
            let (expected, found) = (group.hashes[row], stored.hash());
            if expected != found {
                return Err(RowFault::Hash { expected, found });
            }
            stored.check_values(identity.vocab_size, identity.values)
        };
        check().map_err(|fault| group.damaged(row, fault))?;
    }
    Ok(())
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
