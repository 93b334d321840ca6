//! What is asked about: the same in every process of a capture.

use std::sync::Arc;

use dataflows::{Shape, Span};
use datasets::logits::Cache;
use datasets::store::Digest;

use super::super::logits::wanted::{Balance, Wanted};
use super::super::sources::Opened;
use super::groups::Groups;
use super::read::Reading;
use super::{SHARDS, WINDOW};
use crate::error::Error;

/// The samples that were missing when the stage began, in groups, and where they lie.
pub struct Missing {
    groups: Arc<Groups>,
    sources: Arc<Vec<Opened>>,
    /// The cache as this start of the run found it; none, if it was empty.
    found: Option<Arc<Cache>>,
    around: (Option<u32>, Option<u32>),
}

impl Missing {
    /// Of all samples of the sources, those that the cache as it was when the stage began, `began`, lacks; those that
    /// are in it as it was when this start of the run began, `found`, are passed over.
    ///
    /// # Errors
    /// [`Error::Ledger`] if two samples of one name have two lengths.
    pub fn of(
        all: &[Wanted],
        sources: Vec<Opened>,
        began: Option<&Cache>,
        found: Option<Cache>,
        batch_tokens: u64,
        around: (Option<u32>, Option<u32>),
    ) -> Result<Self, Error> {
        let balance = Balance::of(all, &sources, began)?;
        let groups = Arc::new(Groups::new(balance.missing, batch_tokens));
        Ok(Self { groups, sources: Arc::new(sources), found: found.map(Arc::new), around })
    }

    /// Their tokens.
    pub fn tokens(&self) -> u64 {
        self.groups.tokens()
    }

    /// Those of them that have come since the stage began.
    pub fn done(&self) -> u64 {
        self.found.as_ref().map_or(0, |found| self.groups.tokens_in(found))
    }

    /// Steps of the pass.
    pub fn steps(&self) -> u64 {
        self.groups.len().div_ceil(u64::from(SHARDS))
    }

    /// The shape of the pass, on so many workers of each process.
    pub fn shape(&self, workers: usize) -> Shape {
        let span = Span { resume: 0, end: self.steps(), every: 0 };
        Shape { workers, shards: SHARDS, window: WINDOW, uncommitted: WINDOW, span }
    }

    /// A digest of the groups: two processes that have the same ask about the same.
    pub fn digest(&self) -> Digest {
        self.groups.digest()
    }

    /// Reads them, in one worker.
    pub fn reading(&self) -> Reading {
        Reading::new(&self.groups, &self.sources, self.found.as_ref(), self.around)
    }
}
