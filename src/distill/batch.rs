//! A micro-batch: packed sequences, and the label of each position.

use kernels::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

/// `batch` sequences of `seq + 1` tokens: position `i` predicts token `i + 1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Sequences.
    pub batch: usize,
    /// Positions of a sequence.
    pub seq: usize,
    /// `[batch][seq + 1]`, flat.
    pub tokens: Vec<u32>,
}

impl Batch {
    /// Of sequences of one length.
    ///
    /// # Panics
    ///
    /// If there is none, or the lengths differ.
    #[must_use]
    pub fn new(sequences: &[Vec<u32>]) -> Self {
        let length = sequences[0].len();
        assert!(sequences.iter().all(|s| s.len() == length), "packed sequences have one length");
        Self { batch: sequences.len(), seq: length - 1, tokens: sequences.concat() }
    }

    /// Positions that are predicted.
    #[must_use]
    pub fn num_tokens(&self) -> u64 {
        (self.batch * self.seq) as u64
    }

    /// `[batch, seq]`.
    #[must_use]
    pub fn inputs(&self, device: &Device) -> Tensor<2, Int> {
        let rows = self.tokens.chunks(self.seq + 1).flat_map(|row| &row[..self.seq]);
        let ids: Vec<i64> = rows.map(|id| i64::from(*id)).collect();
        Tensor::<1, Int>::from_ints(ids.as_slice(), device).reshape([self.batch, self.seq])
    }

    /// `[batch * seq]`.
    #[must_use]
    pub fn labels(&self, device: &Device) -> Tensor<1, Int> {
        let rows = self.tokens.chunks(self.seq + 1).flat_map(|row| &row[1..]);
        let ids: Vec<i64> = rows.map(|id| i64::from(*id)).collect();
        Tensor::from_ints(ids.as_slice(), device)
    }
}
