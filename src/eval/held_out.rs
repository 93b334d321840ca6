//! The sequences that are scored: the first of the held-out text, in its own order.

use std::sync::Arc;

use datasets::loader::Sequence;

use crate::distill::Batch;

/// Held-out sequences, in micro-batches.
#[derive(Clone, Debug)]
pub struct HeldOut {
    sequences: Arc<Vec<Sequence>>,
    batch: u64,
    apart: bool,
}

impl HeldOut {
    /// Of sequences, `batch` at a time; with `apart`, documents do not see one another.
    pub fn new(sequences: Vec<Sequence>, batch: u64, apart: bool) -> Self {
        Self { sequences: Arc::new(sequences), batch: batch.max(1), apart }
    }

    /// Sequences that are scored.
    pub fn num_sequences(&self) -> u64 {
        self.sequences.len() as u64
    }

    /// Micro-batches; the last may be smaller.
    pub fn num_batches(&self) -> u64 {
        self.num_sequences().div_ceil(self.batch)
    }

    /// A micro-batch, below [`num_batches`](Self::num_batches).
    pub fn batch(&self, index: u64) -> Batch {
        let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.sequences.len());
        let first = index.saturating_mul(self.batch);
        let range = place(first)..place(first.saturating_add(self.batch));
        Batch::new(&self.sequences[range], self.apart)
    }
}
