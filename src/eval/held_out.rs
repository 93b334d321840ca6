//! The sequences that are scored: the first of the held-out text, in its own order.

use std::sync::Arc;

use datasets::pack::Sequences;

use crate::distill::Batch;

/// Held-out sequences, in micro-batches.
#[derive(Clone, Debug)]
pub struct HeldOut {
    sequences: Arc<Sequences>,
    num_sequences: u64,
    batch: u64,
}

impl HeldOut {
    /// The first `num_sequences`, or all if there are fewer, `batch` at a time.
    pub fn new(sequences: Arc<Sequences>, num_sequences: u64, batch: u64) -> Self {
        let num_sequences = num_sequences.min(sequences.num_sequences());
        Self { sequences, num_sequences, batch: batch.max(1) }
    }

    /// Sequences that are scored.
    pub fn num_sequences(&self) -> u64 {
        self.num_sequences
    }

    /// Micro-batches; the last may be smaller.
    pub fn num_batches(&self) -> u64 {
        self.num_sequences.div_ceil(self.batch)
    }

    /// A micro-batch, below [`num_batches`](Self::num_batches).
    pub fn batch(&self, index: u64) -> Batch {
        let first = index * self.batch;
        let last = (first + self.batch).min(self.num_sequences);
        let sequences: Vec<Vec<u32>> =
            (first..last).map(|i| self.sequences.get(i).tokens).collect();
        Batch::new(&sequences)
    }
}
