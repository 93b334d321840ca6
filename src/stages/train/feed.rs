//! The micro-batch of a place: a pure function of it.

use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::loader::{LoadError, Loader, Sequence};

use crate::distill::Batch;

/// Reads micro-batch `shard` of step `step`: sequences `step · global + shard · micro + 0 .. micro` of the run.
pub struct Feeding {
    /// Of all epochs of all sources.
    pub loader: Arc<Loader>,
    /// Whether documents are hidden from one another.
    pub apart: bool,
    /// Sequences of a step.
    pub global: u64,
    /// Sequences of a micro-batch.
    pub micro: u64,
}

impl Feed for Feeding {
    type Batch = Batch;

    fn feed(&mut self, at: At) -> Result<Batch, Failure> {
        let first = at.step.0 * self.global + u64::from(at.shard) * self.micro;
        let sequences = sequences(&self.loader, first..first + self.micro).map_err(Failure::of)?;
        Ok(Batch::new(&sequences, self.apart))
    }
}

/// The sequences of a range.
///
/// # Errors
/// What the loader says of the first that cannot be read.
pub fn sequences(loader: &Loader, range: std::ops::Range<u64>) -> Result<Vec<Sequence>, LoadError> {
    let read = |index| {
        let mut sequence = Sequence::default();
        loader.fill(index, &mut sequence).map(|()| sequence)
    };
    range.map(read).collect()
}
