//! What a measured graph says.

use serde::{Deserialize, Serialize};

use super::Throughput;
use super::payload::{filling, mix};

/// What the workers of one process received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Batches.
    pub batches: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Batches that another worker had made.
    pub crossed: u64,
    /// From the first step to the last, on the slowest worker.
    pub seconds: f64,
    /// A digest of the batches that is the same in any order: [`Throughput::digest`] if each came once.
    pub digest: u64,
}

impl Measured {
    /// What the two processes, or workers, received together.
    #[must_use]
    pub fn and(self, other: Measured) -> Measured {
        Measured {
            batches: self.batches + other.batches,
            bytes: self.bytes + other.bytes,
            crossed: self.crossed + other.crossed,
            seconds: self.seconds.max(other.seconds),
            digest: self.digest.wrapping_add(other.digest),
        }
    }

    /// How many of the batches another worker had made, from 0 to 1.
    pub fn crossed_share(&self) -> f64 {
        if self.batches == 0 { 0.0 } else { self.crossed as f64 / self.batches as f64 }
    }

    /// Counts a batch that came to worker `to` of `peers`.
    pub(super) fn count(
        mut self,
        graph: &Throughput,
        key: u64,
        bytes: &[u8],
        to: usize,
        peers: usize,
    ) -> Self {
        debug_assert!(bytes.iter().all(|byte| *byte == filling(key)), "batch {key} is torn");
        let ends = bytes.first().map_or(filling(key), |first| *first & bytes[bytes.len() - 1]);
        let from = (key % u64::from(graph.per_step)) % peers as u64;
        self.batches += 1;
        self.bytes += bytes.len() as u64;
        self.crossed += u64::from(from != to as u64);
        self.digest = self.digest.wrapping_add(term(key, bytes.len(), ends));
        self
    }
}

/// What a batch adds to the digest, where its first and last byte have these bits in common.
pub(super) fn term(key: u64, bytes: usize, ends: u8) -> u64 {
    mix(mix(mix(key) ^ bytes as u64) ^ u64::from(ends))
}
