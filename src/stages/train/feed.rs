//! The micro-batch of a place: a pure function of it.

use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::pack::Sequences;

use crate::distill::Batch;

/// Reads micro-batch `shard` of step `step`: sequences `step · global + shard · micro + 0 .. micro` of the run.
pub struct Feeding {
    /// Of all epochs.
    pub sequences: Arc<Sequences>,
    /// Sequences of a step.
    pub global: u64,
    /// Sequences of a micro-batch.
    pub micro: u64,
}

impl Feed for Feeding {
    type Batch = Batch;

    fn feed(&mut self, at: At) -> Result<Batch, Failure> {
        let first = at.step.0 * self.global + u64::from(at.shard) * self.micro;
        let sequences: Vec<Vec<u32>> =
            (first..first + self.micro).map(|index| self.sequences.get(index).tokens).collect();
        Ok(Batch::new(&sequences))
    }
}
