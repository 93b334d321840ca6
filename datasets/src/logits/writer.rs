//! Adds samples to a cache.

use std::path::Path;

use super::layout::Dir;
use super::log::{Added, Log};
use super::shard_writer::ShardWriter;
use super::stored::{Row, RowRef};
use super::{Identity, LogitError, Profile, Scored};

/// How large things become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// A row group ends with the sample that reaches so many tokens. It is what is read at once.
    pub group_tokens: u64,
    /// A shard ends, and is committed, with the sample that reaches so many. It is what a kill can lose.
    pub shard_tokens: u64,
    /// The level of Zstandard.
    pub level: u8,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { group_tokens: 1 << 16, shard_tokens: 1 << 21, level: 3 }
    }
}

/// Adds samples to a cache. Any number of writers, in any process, may do so at once.
///
/// What was pushed is in the cache when the shard that holds it is committed: when it is full, or by
/// [`commit`](Self::commit). A writer that is dropped, or killed, before leaves no trace that a reader sees.
pub struct CacheWriter {
    dir: Dir,
    identity: Identity,
    profile: Profile,
    sizes: Sizes,
    log: Log,
    shard: Option<ShardWriter>,
    seen: Vec<u32>,
}

impl CacheWriter {
    /// A writer to the cache at `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`LogitError::NotACache`] if something else is there, [`LogitError::Other`] if other logits are.
    pub fn open(dir: &Path, identity: &Identity, profile: Profile) -> Result<Self, LogitError> {
        Self::with_sizes(dir, identity, profile, Sizes::default())
    }

    /// [`open`](Self::open), with other sizes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_sizes(
        dir: &Path,
        identity: &Identity,
        profile: Profile,
        sizes: Sizes,
    ) -> Result<Self, LogitError> {
        if (identity.sampled, identity.values) != (profile.is_sampled(), profile.values) {
            let (values, sampled) = (identity.values, identity.sampled);
            return Err(LogitError::OtherProfile {
                path: dir.to_owned(),
                profile,
                values,
                sampled,
            });
        }
        let dir = Dir(dir.to_owned());
        let identity = dir.create(identity)?;
        let log = Log::read(&dir, None)?;
        Ok(Self { dir, identity, profile, sizes, log, shard: None, seen: Vec::new() })
    }

    /// Whose logits they are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Adds a sample. Gives the number of the commit, if the shard was full with it and was committed.
    ///
    /// # Errors
    /// [`LogitError::Sample`] if it cannot be stored: the writer is then as before. Other errors end the shard that was
    /// in the making; what was committed before is there.
    pub fn push(&mut self, scored: &Scored) -> Result<Option<u64>, LogitError> {
        let bad = LogitError::sample(scored.id);
        scored.check(self.identity.demands(), &mut self.seen).map_err(bad)?;
        let row = Row::encode(scored, &self.profile, self.identity.vocab_size);
        self.push_row(row.map_err(LogitError::sample(scored.id))?.by_ref())
    }

    pub(super) fn push_row(&mut self, row: RowRef<'_>) -> Result<Option<u64>, LogitError> {
        let mut shard = match self.shard.take() {
            Some(shard) => shard,
            None => self.new_shard()?,
        };
        match shard.push(row) {
            Ok(()) => {}
            Err(error @ LogitError::Sample { .. }) => {
                self.shard = Some(shard);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        let full = shard.num_tokens() >= self.sizes.shard_tokens;
        self.shard = Some(shard);
        if full { self.commit() } else { Ok(None) }
    }

    fn new_shard(&self) -> Result<ShardWriter, LogitError> {
        let Sizes { group_tokens, level, .. } = self.sizes;
        ShardWriter::new(&self.dir, &self.identity, &self.profile, level, group_tokens)
    }

    /// Ends the shard in the making and commits it: all that was pushed is then in the cache, for good.
    ///
    /// # Errors
    /// [`LogitError`] if it cannot be written. What was committed before is there.
    pub fn commit(&mut self) -> Result<Option<u64>, LogitError> {
        match self.end_shard()? {
            Some(added) => self.log.append(&self.dir, "capture", &[added], &[]),
            None => Ok(None),
        }
    }

    /// Ends the shard in the making, which someone else commits.
    pub(super) fn end_shard(&mut self) -> Result<Option<Added>, LogitError> {
        self.shard.take().map(|shard| shard.finish(&self.dir)).transpose()
    }
}
