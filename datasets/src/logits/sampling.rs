//! Threshold sampling: few entries, and every probability right in expectation.
//!
//! An entry of probability `p ≥ τ` is kept as it is. One below is kept with probability `p / τ`, and then has the weight
//! `τ`: in expectation `p`. The threshold is the one at which `K` entries are expected, `Σ min(1, p / τ) = K`. Which are
//! drawn is decided systematically over the vocabulary's order, with one uniform number `u` a token: an entry is drawn if
//! the running sum of `p / τ` of those below the threshold passes one of `u, u + 1, u + 2, …` with it. So the number drawn
//! is the expected one, rounded either way, and the weights' sum stays within `τ` of one
//! (`reference/distillation.md`, 6.4; after arXiv 2503.16870, whose draws are independent).
//!
//! `u` is a function of the sample's id and the position, of nothing else: who captures a sample again, in another batch or
//! on another machine, draws the same entries, up to the teacher's own rounding.
//!
//! A row of the vocabulary may come in tiles. The threshold needs only the most probable entries and the mass of the rest,
//! which the same pass over the tiles gives; [`Systematic`] then takes the tiles in order.

use super::Drawn;
use super::code::{from_steps, to_steps};
use crate::random::{stream, uniform};
use crate::shard::SampleId;

/// The uniform number of a token.
pub fn offset(id: SampleId, position: u64) -> f64 {
    let (low, high) = id.0.split_at(8);
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    uniform(&mut stream(word(low), "threshold sampling", word(high), position))
}

/// The logarithm of the threshold at which `k` entries are expected, on the grid in which it is stored, so that the weight
/// that is read is the one that was drawn with. `top` are the log-probabilities of the most probable entries, sorted, at
/// least `k` of them or all there are; `rest` is the mass of the others.
pub fn log_threshold(top: &[f32], rest: f64, k: u32) -> f32 {
    let mut mass = rest + top.iter().map(|log| f64::from(*log).exp()).sum::<f64>();
    let mut log_tau = f32::NEG_INFINITY;
    for head in 0..k.min(u32::try_from(top.len()).unwrap_or(u32::MAX)) {
        let tau = mass / f64::from(k - head);
        let next = f64::from(top[head as usize]).exp();
        // `head` entries are kept as they are, if all others are below the threshold that this makes.
        log_tau = from_steps(to_steps(tau.ln()));
        if next < tau {
            return log_tau;
        }
        mass -= next;
    }
    // There are no more than `k` entries: all are kept as they are.
    if rest <= 0.0 { from_steps(to_steps(f64::NEG_INFINITY)) } else { log_tau }
}

/// The entries of one token that are drawn, tile by tile in the vocabulary's order.
#[derive(Debug, Clone)]
pub struct Systematic {
    log_tau: f32,
    sum: f64,
}

impl Systematic {
    /// With a threshold, and the token's uniform number.
    pub fn new(log_tau: f32, offset: f64) -> Self {
        // A number is passed when the sum reaches the next whole one.
        Self { log_tau, sum: 1.0 - offset }
    }

    /// Takes the log-probabilities of the ids from `first` on, and appends those that are drawn. Those that reach the
    /// threshold are passed over: they are kept as they are.
    pub fn tile(&mut self, first: u32, log_probs: &[f32], drawn: &mut Vec<u32>) {
        if self.log_tau == f32::NEG_INFINITY {
            return;
        }
        for (id, log_prob) in (first..).zip(log_probs) {
            if *log_prob < self.log_tau {
                let before = self.sum.floor();
                self.sum += f64::from(*log_prob - self.log_tau).exp();
                if self.sum.floor() > before {
                    drawn.push(id);
                }
            }
        }
    }
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The ids: those above the threshold, the most probable first, then those drawn, in the vocabulary's order.
    pub ids: Vec<u32>,
    /// The logarithms of their weights.
    pub log_weights: Vec<f32>,
    /// The last of them, that were drawn.
    pub drawn: Drawn,
    /// The logarithm of the mass below the threshold.
    pub tail: f32,
}

/// Samples a whole row of log-probabilities: the plain way, and the reference of the others.
#[expect(clippy::cast_possible_truncation, reason = "logarithms of single precision, few entries")]
pub fn sample(log_probs: &[f32], k: u32, id: SampleId, position: u64) -> Kept {
    let mut order: Vec<u32> = (0..u32::try_from(log_probs.len()).unwrap_or(u32::MAX)).collect();
    order.sort_by(|a, b| log_probs[*b as usize].total_cmp(&log_probs[*a as usize]).then(a.cmp(b)));
    let sorted: Vec<f32> = order.iter().map(|id| log_probs[*id as usize]).collect();
    let log_tau = log_threshold(&sorted, 0.0, k);
    let head = sorted.iter().take_while(|log| **log >= log_tau && log.is_finite()).count();
    let tail = sorted[head..].iter().map(|log| f64::from(*log).exp()).sum::<f64>().ln() as f32;
    let mut ids = order[..head].to_vec();
    Systematic::new(log_tau, offset(id, position)).tile(0, log_probs, &mut ids);
    let count = (ids.len() - head) as u32;
    let mut log_weights = sorted[..head].to_vec();
    log_weights.resize(ids.len(), log_tau);
    Kept { ids, log_weights, drawn: Drawn { count, log_tau }, tail }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Teacher};
    use super::*;

    fn id(n: u64) -> SampleId {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&n.to_le_bytes());
        SampleId(id)
    }

    fn row(seed: u64) -> Vec<f32> {
        Teacher { vocab_size: 500, seed }.row(3)
    }

    #[test]
    fn as_many_entries_are_kept_as_were_asked_for_and_their_weights_add_up_to_one() {
        for seed in 0..50 {
            let row = row(seed);
            for k in [1, 5, 14, 100, 499] {
                let kept = sample(&row, k, id(seed), 9);
                let off = kept.ids.len().abs_diff(k as usize);
                assert!(off <= 1, "{} entries of {k}", kept.ids.len());
                let sum: f64 = kept.log_weights.iter().map(|log| f64::from(*log).exp()).sum();
                let tau = f64::from(kept.drawn.log_tau).exp();
                assert!((sum - 1.0).abs() <= tau + 1e-4, "{sum}, {tau}");
                assert!(kept.log_weights.is_sorted_by(|a, b| a >= b));
            }
        }
    }

    #[test]
    fn every_probability_is_right_in_expectation() {
        let row = row(1);
        let draws: u32 = 40_000;
        let mut sums = vec![0.0; row.len()];
        for n in 0..draws {
            let kept = sample(&row, 14, id(u64::from(n)), 0);
            for (id, log) in kept.ids.iter().zip(&kept.log_weights) {
                sums[*id as usize] += f64::from(*log).exp();
            }
        }
        for (log, sum) in row.iter().zip(sums) {
            let (p, mean) = (f64::from(*log).exp(), sum / f64::from(draws));
            let tau = f64::from(sample(&row, 14, id(0), 0).drawn.log_tau).exp();
            // Of a Bernoulli number of weight τ: five standard errors.
            let error = 5.0 * (p * tau / f64::from(draws)).sqrt() + 1e-6;
            assert!((mean - p).abs() < error, "{mean} for {p}");
        }
    }

    #[test]
    fn tiles_and_a_threshold_from_the_most_probable_draw_what_the_whole_row_does() {
        for seed in 0..20 {
            let row = row(seed);
            let whole = sample(&row, 14, id(seed), seed);
            let (ids, log_probs, rest) = fixture::top(&row, 20);
            let log_tau = log_threshold(&log_probs, rest, 14);
            assert!((log_tau - whole.drawn.log_tau).abs() < 6e-4);
            let log_tau = whole.drawn.log_tau;
            let head = log_probs.iter().take_while(|log| **log >= log_tau).count();
            let mut tiled = ids[..head].to_vec();
            let mut systematic = Systematic::new(log_tau, offset(id(seed), seed));
            for (n, tile) in row.chunks(64).enumerate() {
                systematic.tile(64 * u32::try_from(n).unwrap(), tile, &mut tiled);
            }
            assert_eq!(tiled, whole.ids);
        }
    }

    #[test]
    fn the_draw_is_the_samples_and_the_positions_own() {
        let row = row(2);
        assert_eq!(sample(&row, 14, id(1), 5), sample(&row, 14, id(1), 5));
        assert_ne!(sample(&row, 14, id(1), 5).ids, sample(&row, 14, id(1), 6).ids);
        assert_ne!(sample(&row, 14, id(1), 5).ids, sample(&row, 14, id(2), 5).ids);
        let all = sample(&row[..10], 14, id(1), 0);
        assert_eq!((all.ids.len(), all.drawn.count, all.tail), (10, 0, f32::NEG_INFINITY));
    }
}
