//! Samples one by one, in any order: the row groups that were read last are kept.

use std::sync::Arc;

use super::group::Group;
use super::{Cache, LogitError, Scored};
use crate::shard::SampleId;

/// Reads samples one by one and keeps the row groups that it read last, up to a number of bytes.
///
/// What a training run asks for in a shuffled window lies in few row groups; of an order that leaps over the whole cache
/// each sample costs a row group, unless they all fit.
pub struct Reader {
    cache: Arc<Cache>,
    budget: usize,
    /// The one read last comes last.
    kept: Vec<((u32, u32), Arc<Group>)>,
}

impl Reader {
    /// A reader that keeps so many bytes, and one row group at least.
    pub fn new(cache: Arc<Cache>, budget_bytes: usize) -> Self {
        Self { cache, budget: budget_bytes, kept: Vec::new() }
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// A sample; with `k`, only the `k` most probable entries of each position: see [`Cache::read`].
    ///
    /// # Errors
    /// As [`Cache::read`].
    pub fn get(&mut self, id: SampleId, k: Option<u32>) -> Result<Scored, LogitError> {
        let place = self.cache.place(id, k)?;
        let group = self.group((place.shard, place.row_group))?;
        self.cache.decode(&group, place.row, k)
    }

    fn group(&mut self, at: (u32, u32)) -> Result<Arc<Group>, LogitError> {
        let found = self.kept.iter().position(|(kept, _)| *kept == at);
        let entry = match found {
            Some(place) => self.kept.remove(place),
            None => (at, Arc::new(self.cache.group(at.0, at.1)?)),
        };
        let group = Arc::clone(&entry.1);
        self.kept.push(entry);
        let mut bytes = self.kept.iter().map(|(_, group)| group.bytes()).sum::<usize>();
        while bytes > self.budget && self.kept.len() > 1 {
            bytes -= self.kept.remove(0).1.bytes();
        }
        Ok(group)
    }
}
