//! Tokens to measure with, where there are none: independent draws from a Zipf-Mandelbrot law, in documents of
//! log-normal length, as measured corpora have them.

use datasets::random::{ChaCha8Rng, stream};
use datasets::shard::{Sample, SampleId};
use std::sync::Arc;

/// The shift of the law: p(r) ∝ 1 / (r + 2.7).
const SHIFT: f64 = 2.7;
/// The median length of a document, and the spread of its logarithm.
const MEDIAN: f64 = 500.0;
const SPREAD: f64 = 1.2;

/// Draws tokens.
#[derive(Debug)]
pub struct Zipf {
    /// Cumulated probabilities by rank.
    cumulated: Vec<f64>,
    /// The id of a rank: frequent ids are small, but not in order, as merges make them.
    ids: Vec<u32>,
}

impl Zipf {
    /// Over a vocabulary.
    #[must_use]
    pub fn new(vocab_size: u32) -> Self {
        let mut cumulated = Vec::with_capacity(vocab_size as usize);
        let mut sum = 0.0;
        for rank in 0..vocab_size {
            sum += 1.0 / (f64::from(rank) + SHIFT);
            cumulated.push(sum);
        }
        cumulated.iter_mut().for_each(|p| *p /= sum);
        let mut noisy: Vec<(f64, u32)> = (0..vocab_size)
            .map(|rank| {
                let noise = uniform(&mut stream(1, "zipf order", 0, u64::from(rank)));
                (f64::from(rank + 1).ln() + noise, rank)
            })
            .collect();
        noisy.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ids = vec![0; vocab_size as usize];
        for (id, (_, rank)) in (0..).zip(noisy) {
            ids[rank as usize] = id;
        }
        Self { cumulated, ids }
    }

    /// The entropy of a token, in bits.
    #[must_use]
    pub fn entropy(&self) -> f64 {
        let mut last = 0.0;
        let mut bits = 0.0;
        for sum in &self.cumulated {
            let p = sum - last;
            last = *sum;
            bits -= p * p.log2();
        }
        bits
    }

    /// Document `index`: a function of the index alone.
    #[must_use]
    pub fn document(&self, index: u64) -> Sample {
        let mut rng = stream(2, "zipf document", 0, index);
        let normal = (-2.0 * uniform(&mut rng).max(1e-300).ln()).sqrt()
            * (std::f64::consts::TAU * uniform(&mut rng)).cos();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length")]
        let length = (MEDIAN * (SPREAD * normal).exp()).clamp(1.0, 60_000.0) as usize;
        let tokens: Vec<u32> = (0..length)
            .map(|_| {
                let u = uniform(&mut rng);
                let rank = self.cumulated.partition_point(|sum| *sum < u);
                self.ids[rank.min(self.ids.len() - 1)]
            })
            .collect();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&index.to_be_bytes());
        Sample { id: SampleId(id), source: Arc::from("zipf"), tokens, num_bytes: 0 }
    }
}

/// A number of [0, 1).
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits of it")]
    let value = datasets::random::below(rng, 1 << 53) as f64;
    value / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_follow_the_law_and_documents_are_functions_of_their_index() {
        let zipf = Zipf::new(1000);
        assert_eq!(zipf.document(3), zipf.document(3));
        let mut counts = vec![0u32; 1000];
        (0..200).flat_map(|i| zipf.document(i).tokens).for_each(|id| counts[id as usize] += 1);
        let total: u32 = counts.iter().sum();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let expected = zipf.cumulated[0];
        let found = f64::from(counts[0]) / f64::from(total);
        assert!((found / expected - 1.0).abs() < 0.1, "{found} {expected}");
        assert!((200..2000).contains(&(total / 200)), "{total}");
    }

    #[test]
    fn the_entropy_of_the_usual_vocabularies_is_the_known_one() {
        let bits = |vocab| Zipf::new(vocab).entropy();
        assert!((bits(32_000) - 11.339).abs() < 0.05, "{}", bits(32_000));
        assert!((bits(128_256) - 12.534).abs() < 0.05, "{}", bits(128_256));
    }
}
