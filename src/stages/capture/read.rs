//! The samples of a group.

use std::collections::HashMap;
use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::TokenLists;
use datasets::logits::Cache;
use datasets::shard::ShardError;

use super::super::logits::wanted::{Wanted, whole};
use super::super::sources::Opened;
use super::SHARDS;
use super::groups::Groups;
use crate::logits::Asked;

/// Reads groups, in one worker. The row groups of a window are decoded once, and kept while it lasts.
pub struct Reading {
    groups: Arc<Groups>,
    sources: Arc<Vec<Opened>>,
    names: Vec<Arc<str>>,
    cache: Option<Arc<Cache>>,
    around: (Option<u32>, Option<u32>),
    window: Option<usize>,
    decoded: HashMap<(u32, u32, u32), TokenLists>,
}

impl Reading {
    /// Of groups of samples that lie in sources; those that are in a cache are passed over.
    pub fn new(
        groups: &Arc<Groups>,
        sources: &Arc<Vec<Opened>>,
        cache: Option<&Arc<Cache>>,
        around: (Option<u32>, Option<u32>),
    ) -> Self {
        Self {
            groups: Arc::clone(groups),
            names: sources.iter().map(|(name, _)| name.as_str().into()).collect(),
            sources: Arc::clone(sources),
            cache: cache.map(Arc::clone),
            around,
            window: None,
            decoded: HashMap::new(),
        }
    }

    fn asked(&mut self, wanted: &Wanted) -> Result<Asked, ShardError> {
        let Wanted { id, source, shard, row_group, row, .. } = *wanted;
        let lists = match self.decoded.entry((source, shard, row_group)) {
            std::collections::hash_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::hash_map::Entry::Vacant(room) => {
                let (_, shards) = &self.sources[source as usize];
                let mut lists = TokenLists::default();
                shards.read_tokens(shard as usize, row_group as usize, &mut lists)?;
                room.insert(lists)
            }
        };
        let (mut tokens, (bos, eos)) = (Vec::new(), self.around);
        whole(bos, lists.get(row as usize), eos, &mut tokens);
        Ok(Asked { id, source: Arc::clone(&self.names[source as usize]), tokens })
    }
}

impl Feed for Reading {
    type Batch = Vec<Asked>;

    fn feed(&mut self, at: At) -> Result<Vec<Asked>, Failure> {
        let groups = Arc::clone(&self.groups);
        let index = at.step.0 * u64::from(SHARDS) + u64::from(at.shard);
        let Some((group, window)) = groups.get(index) else { return Ok(Vec::new()) };
        if self.window.replace(window) != Some(window) {
            self.decoded.clear();
        }
        let is_there =
            |sample: &&Wanted| self.cache.as_ref().is_some_and(|cache| cache.contains(sample.id));
        let missing = group.iter().filter(|sample| !is_there(sample));
        let missing: Vec<Wanted> = missing.copied().collect();
        missing
            .iter()
            .map(|sample| self.asked(sample))
            .collect::<Result<_, _>>()
            .map_err(Failure::of)
    }
}
