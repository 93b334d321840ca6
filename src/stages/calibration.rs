//! The sequences that importance is measured on.

use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::loader::Loader;

use super::train::feed::sequences;
use crate::distill::Batch;

/// Reads the calibration sequences, a micro-batch a shard.
pub struct Calibration {
    /// The tokens.
    pub loader: Arc<Loader>,
    /// Whether documents do not see one another.
    pub apart: bool,
    /// Sequences of a micro-batch.
    pub batch: u64,
    /// Sequences of all.
    pub end: u64,
    /// Micro-batches of a step.
    pub shards: u32,
}

impl Feed for Calibration {
    /// None where the last step has fewer micro-batches.
    type Batch = Option<Batch>;

    fn feed(&mut self, at: At) -> Result<Option<Batch>, Failure> {
        let first = (at.step.0 * u64::from(self.shards) + u64::from(at.shard)) * self.batch;
        let last = (first + self.batch).min(self.end);
        let sequences = sequences(&self.loader, first..last).map_err(Failure::of)?;
        Ok((!sequences.is_empty()).then(|| Batch::new(&sequences, self.apart)))
    }
}
