//! Row groups in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{GroupError, GroupSize, Groups};
use crate::TokenLists;
use crate::random::{below, stream};

/// Row groups of distinct tokens, from 100 on, in lists of random lengths.
pub(super) struct Memory {
    pub(super) groups: Vec<TokenLists>,
    sizes: Vec<GroupSize>,
    /// Row groups that were read.
    pub(super) reads: AtomicU64,
}

impl Memory {
    pub(super) fn new(seed: u64, groups: u64, rows: u64, longest: u64) -> Arc<Self> {
        let mut rng = stream(seed, "memory", 0, 0);
        let mut next = 100;
        let group = |_| {
            let mut lists = TokenLists::default();
            for _ in 0..below(&mut rng, rows + 1) {
                for _ in 0..below(&mut rng, longest + 1) {
                    lists.tokens.push(next);
                    next += 1;
                }
                lists.bounds.push(u32::try_from(lists.tokens.len()).unwrap());
            }
            lists
        };
        Self::of((0..groups).map(group).collect())
    }

    pub(super) fn of(groups: Vec<TokenLists>) -> Arc<Self> {
        let size = |lists: &TokenLists| GroupSize {
            rows: lists.len() as u64,
            tokens: lists.tokens.len() as u64,
            bytes: 2 * lists.tokens.len() as u64,
        };
        let sizes = groups.iter().map(size).collect();
        Arc::new(Self { groups, sizes, reads: AtomicU64::new(0) })
    }

    pub(super) fn tokens(&self) -> Vec<u32> {
        self.groups.iter().flat_map(|lists| lists.tokens.iter().copied()).collect()
    }
}

impl Groups for Memory {
    fn sizes(&self) -> &[GroupSize] {
        &self.sizes
    }

    fn read(&self, group: usize, out: &mut TokenLists) -> Result<(), GroupError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let lists = &self.groups[group];
        let begin = u32::try_from(out.tokens.len())?;
        out.tokens.extend_from_slice(&lists.tokens);
        out.bounds.extend(lists.bounds[1..].iter().map(|bound| begin + bound));
        Ok(())
    }

    fn lengths(&self, group: usize) -> Result<Vec<u32>, GroupError> {
        Ok(self.groups[group].bounds.windows(2).map(|pair| pair[1] - pair[0]).collect())
    }

    fn digest(&self) -> String {
        crate::store::digest_bytes(format!("{:?}", self.groups).as_bytes()).to_string()
    }
}
