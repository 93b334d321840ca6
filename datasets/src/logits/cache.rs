//! A cache, opened: which samples it has, and what the teacher thinks of them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::code::Table;
use super::group::{Group, Names};
use super::layout::Dir;
use super::log::{Added, Log};
use super::open::open_shard;
use super::{Identity, LogitError, Profile, Scored};
use crate::shard::{SampleId, ShardError, ShardFile};
use crate::store::{Digest, Hasher};

/// A cache, as of a commit. Reading keeps no position: any thread reads any sample, in any order.
pub struct Cache {
    dir: Dir,
    identity: Identity,
    commit: Option<u64>,
    table: Table,
    shards: Vec<Shard>,
    sources: Vec<Arc<str>>,
    index: HashMap<SampleId, Place>,
    lost: Vec<Lost>,
}

pub(super) struct Shard {
    pub(super) added: Added,
    pub(super) file: ShardFile,
    pub(super) path: PathBuf,
}

/// Where a sample is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) shard: u32,
    pub(super) row_group: u32,
    pub(super) row: u32,
    num_tokens: u32,
    source: u32,
}

/// A sample that the cache has.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its name.
    pub id: SampleId,
    /// Where its text came from.
    pub source: &'a Arc<str>,
    /// How many tokens it has.
    pub num_tokens: u32,
    /// The shard that holds it, by its place among the cache's.
    pub shard: usize,
    /// How it was kept.
    pub profile: &'a Profile,
}

/// A shard that is committed and cannot be read: its samples are not in the cache.
#[derive(Debug)]
pub struct Lost {
    /// Its file.
    pub path: PathBuf,
    /// Why.
    pub error: LogitError,
}

/// A row group, to be read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheGroup {
    /// The shard, by its place among the cache's.
    pub shard: usize,
    /// Its row group.
    pub row_group: usize,
    /// How many samples it has.
    pub rows: u64,
    /// How many tokens they have.
    pub tokens: u64,
}

impl Cache {
    /// Opens the cache at `dir`; with an identity, if it holds such logits.
    ///
    /// A shard that is missing, or whose length or names are not what was committed, is [`lost`](Self::lost): its samples
    /// are not there, and the others are.
    ///
    /// # Errors
    /// [`LogitError::NotACache`], [`LogitError::Other`], or what is wrong with the log.
    pub fn open(dir: &Path, expected: Option<&Identity>) -> Result<Self, LogitError> {
        Self::open_at(dir, expected, None)
    }

    /// [`open`](Self::open), as the cache was at a commit.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at(
        dir: &Path,
        expected: Option<&Identity>,
        commit: Option<u64>,
    ) -> Result<Self, LogitError> {
        let dir = Dir(dir.to_owned());
        let identity = dir.identity()?;
        if let Some(expected) = expected {
            dir.require(expected, &identity)?;
        }
        let log = Log::read(&dir, commit)?;
        let mut cache = Self {
            commit: log.commits.last().map(|commit| commit.number),
            table: identity.values.table(),
            identity,
            shards: Vec::new(),
            sources: Vec::new(),
            index: HashMap::new(),
            lost: Vec::new(),
            dir,
        };
        let mut sources = HashMap::new();
        for added in log.live(&cache.dir)? {
            match open_shard(&cache.dir, added) {
                Ok((shard, names)) => cache.add(shard, &names, &mut sources),
                Err((path, error)) => cache.lost.push(Lost { path, error }),
            }
        }
        Ok(cache)
    }

    fn add(&mut self, shard: Shard, names: &Names, sources: &mut HashMap<Arc<str>, u32>) {
        let number = u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        let mut rows = 0..names.ids.len();
        self.index.reserve(names.ids.len());
        for (row_group, group) in (0..).zip(&shard.added.shard.row_groups) {
            for row in 0..u32::try_from(group.rows).unwrap_or(u32::MAX) {
                let Some(at) = rows.next() else { break };
                let name = &names.sources[at];
                let source = *sources.entry(Arc::clone(name)).or_insert_with(|| {
                    self.sources.push(Arc::clone(name));
                    u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX)
                });
                let num_tokens = names.num_tokens[at];
                let place = Place { shard: number, row_group, row, num_tokens, source };
                let k = shard.added.profile.most();
                let kept = self.index.get(&names.ids[at]);
                let kept = kept.and_then(|place| self.shards.get(place.shard as usize));
                // Of a sample that is there twice the one with more entries, or else the first.
                if kept.is_none_or(|kept| kept.added.profile.most() < k)
                    && self.index.get(&names.ids[at]).is_none_or(|place| place.shard != number)
                {
                    self.index.insert(names.ids[at], place);
                }
            }
        }
        self.shards.push(shard);
    }

    /// Whose logits they are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir.0
    }

    /// The commit as of which it was opened; none, if there is no commit.
    pub fn commit(&self) -> Option<u64> {
        self.commit
    }

    /// How many samples it has.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether it has a sample.
    pub fn contains(&self, id: SampleId) -> bool {
        self.index.contains_key(&id)
    }

    /// Shards that are committed and cannot be read.
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }

    /// The cache, if no shard is lost.
    ///
    /// # Errors
    /// Why the first one is.
    pub fn whole(mut self) -> Result<Self, LogitError> {
        if self.lost.is_empty() { Ok(self) } else { Err(self.lost.swap_remove(0).error) }
    }

    /// The files of its shards, by their places.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = (&Path, &Added)> {
        self.shards.iter().map(|shard| (shard.path.as_path(), &shard.added))
    }

    /// The samples that it has, in no order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        self.index.iter().map(|(id, place)| self.entry_at(*id, *place))
    }

    /// What it has of a sample.
    pub fn entry(&self, id: SampleId) -> Option<Entry<'_>> {
        self.index.get(&id).map(|place| self.entry_at(id, *place))
    }

    fn entry_at(&self, id: SampleId, place: Place) -> Entry<'_> {
        let shard = place.shard as usize;
        let profile = &self.shards[shard].added.profile;
        let source = &self.sources[place.source as usize];
        Entry { id, source, num_tokens: place.num_tokens, shard, profile }
    }

    /// Its row groups.
    pub fn groups(&self) -> Vec<CacheGroup> {
        let mut groups = Vec::new();
        for (shard, Shard { added, .. }) in self.shards.iter().enumerate() {
            for (row_group, group) in added.shard.row_groups.iter().enumerate() {
                let (rows, tokens) = (group.rows, group.tokens);
                groups.push(CacheGroup { shard, row_group, rows, tokens });
            }
        }
        groups
    }

    /// Samples, in the order in which they are asked for; with `k`, only the `k` most probable entries of each position,
    /// the mass of the others in the tail. Each row group that holds one is decoded once.
    ///
    /// # Errors
    /// [`LogitError::NoSample`], [`LogitError::TooFew`], or damage, with the file.
    pub fn read(&self, ids: &[SampleId], k: Option<u32>) -> Result<Vec<Scored>, LogitError> {
        let mut by_group = BTreeMap::<(u32, u32), Vec<(usize, u32)>>::new();
        for (n, id) in ids.iter().enumerate() {
            let place = self.place(*id, k)?;
            by_group.entry((place.shard, place.row_group)).or_default().push((n, place.row));
        }
        let mut read: Vec<Option<Scored>> = vec![None; ids.len()];
        for ((shard, row_group), rows) in by_group {
            let group = self.group(shard, row_group)?;
            for (n, row) in rows {
                read[n] = Some(self.decode(&group, row, k)?);
            }
        }
        Ok(read.into_iter().flatten().collect())
    }

    /// The samples of a row group that the cache serves from it, in their order there; see [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_group(
        &self,
        shard: usize,
        row_group: usize,
        k: Option<u32>,
    ) -> Result<Vec<Scored>, LogitError> {
        let groups = self.shards.get(shard).map_or(0, |shard| shard.added.shard.row_groups.len());
        if row_group >= groups {
            return Err(ShardError::NoSuch { shard, row_group }.into());
        }
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let group = self.group(number(shard), number(row_group))?;
        let mut samples = Vec::with_capacity(group.len());
        for (row, id) in (0..).zip(&group.names.ids) {
            let served = self.index.get(id).filter(|place| {
                (place.shard, place.row_group, place.row) == (number(shard), number(row_group), row)
            });
            if served.is_some() {
                self.place(*id, k)?;
                samples.push(self.decode(&group, row, k)?);
            }
        }
        Ok(samples)
    }

    /// A digest of all samples and what the teacher thinks of them: the same for caches that hold the same, whatever their
    /// shards and the order in which they came. Everything is read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn digest(&self) -> Result<Digest, LogitError> {
        let mut hashes = Vec::with_capacity(self.len());
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        for at in self.groups() {
            let (shard, row_group) = (number(at.shard), number(at.row_group));
            let group = self.group(shard, row_group)?;
            for row in 0..group.len() {
                let place = self.place(group.names.ids[row], None)?;
                if (place.shard, place.row_group, place.row) == (shard, row_group, number(row)) {
                    hashes.push((group.names.ids[row], group.row(row).hash()));
                }
            }
        }
        hashes.sort_unstable();
        let mut hasher = Hasher::new();
        for (id, hash) in hashes {
            hasher.update(&id.0).update(&hash.to_le_bytes());
        }
        Ok(hasher.digest())
    }

    /// Where a sample is, if it has as many entries as are asked for.
    pub(super) fn place(&self, id: SampleId, k: Option<u32>) -> Result<Place, LogitError> {
        let path = || self.dir.0.clone();
        let place = self.index.get(&id).ok_or_else(|| LogitError::NoSample { path: path(), id })?;
        if let Some(asked) = k {
            let profile = &self.shards[place.shard as usize].added.profile;
            if profile.is_sampled() {
                let asked = format!("a cut to {asked}");
                return Err(LogitError::Sampled { path: path(), asked });
            }
            let stored = profile.most().min(self.identity.vocab_size);
            if asked.min(self.identity.vocab_size) > stored {
                return Err(LogitError::TooFew { path: path(), id, stored, asked });
            }
        }
        Ok(*place)
    }

    pub(super) fn group(&self, shard: u32, row_group: u32) -> Result<Group, LogitError> {
        let file = &self.shards[shard as usize].file;
        Group::read(file, row_group as usize, self.identity.temperatures.len())
    }

    pub(super) fn decode(
        &self,
        group: &Group,
        row: u32,
        k: Option<u32>,
    ) -> Result<Scored, LogitError> {
        let row = row as usize;
        if row >= group.len() {
            return Err(group.damaged(row, super::RowFault::NoEntry));
        }
        let k = k.map(|k| k.max(1));
        let decoded = group.row(row).decode(self.identity.values, &self.table, k);
        decoded.map_err(|source| group.damaged(row, source))
    }
}
