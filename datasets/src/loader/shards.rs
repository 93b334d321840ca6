//! Token shards as what a loader reads from.

use std::sync::Arc;

use super::groups::{GroupError, GroupSize, Groups};
use crate::TokenLists;
use crate::shard::{Group, Shards};
use crate::storage::Counts;

/// The row groups of opened shards.
#[derive(Debug)]
pub struct ShardGroups {
    shards: Arc<Shards>,
    groups: Vec<Group>,
    sizes: Vec<GroupSize>,
}

impl ShardGroups {
    /// Of shards.
    #[must_use]
    pub fn new(shards: Arc<Shards>) -> Self {
        let groups = shards.groups();
        let size = |group: &Group| {
            let Group { rows, tokens, bytes, .. } = *group;
            GroupSize { rows, tokens, bytes }
        };
        let sizes = groups.iter().map(size).collect();
        Self { shards, groups, sizes }
    }
}

impl Groups for ShardGroups {
    fn sizes(&self) -> &[GroupSize] {
        &self.sizes
    }

    fn read(&self, group: usize, out: &mut TokenLists) -> Result<(), GroupError> {
        let Group { shard, row_group, .. } = self.groups[group];
        Ok(self.shards.read_tokens(shard, row_group, out)?)
    }

    fn lengths(&self, group: usize) -> Result<Vec<u32>, GroupError> {
        let Group { shard, row_group, .. } = self.groups[group];
        Ok(self.shards.lengths(shard, row_group)?)
    }

    fn will_need(&self, group: usize) {
        let Group { shard, row_group, .. } = self.groups[group];
        self.shards.will_need(shard, row_group);
    }

    fn fetched(&self) -> Counts {
        self.shards.fetched()
    }

    fn digest(&self) -> String {
        self.shards.digest().to_string()
    }
}
