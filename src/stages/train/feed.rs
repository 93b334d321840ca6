//! The micro-batch of a place: a pure function of it.

use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::loader::{LoadError, Loader, Pieces, Sequence};

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
    /// Whether it is said which documents they are made of.
    pub pieces: bool,
}

/// A micro-batch as it is read.
pub struct Fed {
    /// The micro-batch.
    pub batch: Batch,
    /// Of each sequence where its documents begin, and which they are; empty where that is not asked for.
    pub pieces: Vec<(Vec<u32>, Pieces)>,
}

impl Feed for Feeding {
    type Batch = Fed;

    fn feed(&mut self, at: At) -> Result<Fed, Failure> {
        let first = at.step.0 * self.global + u64::from(at.shard) * self.micro;
        let read = |index| {
            let pieces = self.pieces.then(Pieces::default);
            let mut sequence = Sequence { pieces, ..Sequence::default() };
            self.loader.fill(index, &mut sequence).map(|()| sequence)
        };
        let sequences: Result<Vec<_>, _> = (first..first + self.micro).map(read).collect();
        let mut sequences = sequences.map_err(Failure::of)?;
        let batch = Batch::new(&sequences, self.apart);
        let of = |s: &mut Sequence| Some((std::mem::take(&mut s.starts), s.pieces.take()?));
        Ok(Fed { batch, pieces: sequences.iter_mut().filter_map(of).collect() })
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
