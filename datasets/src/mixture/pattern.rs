//! One period of a mixture: which source comes when, so that no source is ever a whole sequence from its share.
//!
//! This is the chairman assignment problem. With integer weights `w` of sum `P`, Tijdeman's rule (R. Tijdeman, The
//! chairman assignment problem, Discrete Mathematics 32, 1980) keeps `|count_i(t) - w_i·t/P|` at most `1 - 1/(2k - 2)`
//! for each of `k` sources at every `t`: the `n`-th draw (from 0) of source `i` may come at time `t` (from 1) once
//! `w_i·t - n·P >= P/(2k - 2)`; of those that may, the one comes whose time is up first, at
//! `(n + 1 - 1/(2k - 2))·P/w_i`. After `P` draws every source has had exactly `w_i`, and it begins anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A period of draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The source of each draw.
    source: Vec<u16>,
    /// How many draws before it had the same source.
    rank: Vec<u32>,
    /// Draws of each source.
    weights: Vec<u32>,
}

impl Pattern {
    /// The pattern of weights that are not all 0.
    pub(super) fn new(weights: Vec<u32>) -> Self {
        let period: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let used = weights.iter().filter(|weight| **weight > 0).count() as u64;
        let d = (2 * used).saturating_sub(2).max(1);
        // Of draw `n`: the first and the last time at which it may come.
        let times = |weight: u32, n: u32| {
            let (n, share) = (u64::from(n), d * u64::from(weight));
            let first = if used == 1 { n + 1 } else { ((d * n + 1) * period).div_ceil(share) };
            let last = if used == 1 { n + 1 } else { ((d * n + d - 1) * period) / share };
            (first, last)
        };
        let mut waiting = BinaryHeap::new();
        let mut ready = BinaryHeap::new();
        for (i, weight) in (0..=u16::MAX).zip(&weights).filter(|(_, weight)| **weight > 0) {
            waiting.push(Reverse((times(*weight, 0).0, i)));
        }
        let mut counts = vec![0u32; weights.len()];
        let (mut source, mut rank) = (Vec::new(), Vec::new());
        for now in 1..=period {
            while let Some(Reverse((_, i))) = waiting.pop_if_due(now) {
                let last = times(weights[usize::from(i)], counts[usize::from(i)]).1;
                ready.push(Reverse((last, i)));
            }
            let Some(Reverse((_, i))) = ready.pop() else { continue };
            let (count, weight) = (&mut counts[usize::from(i)], weights[usize::from(i)]);
            source.push(i);
            rank.push(*count);
            *count += 1;
            if *count < weight {
                waiting.push(Reverse((times(weight, *count).0, i)));
            }
        }
        debug_assert_eq!(source.len() as u64, period, "a draw is always ready");
        Self { source, rank, weights }
    }

    /// The source of draw `t`, and how many draws before it had the same.
    pub(super) fn at(&self, t: u64) -> (u16, u64) {
        let (whole, place) = self.split(t);
        let source = self.source[place];
        let weight = self.weights[usize::from(source)];
        (source, whole * u64::from(weight) + u64::from(self.rank[place]))
    }

    /// How many of the draws before `t` had this source.
    pub(super) fn count(&self, source: u16, t: u64) -> u64 {
        let (whole, place) = self.split(t);
        // The next draw of the source knows how many came before; after the last, it is all of them.
        let next = self.source[place..].iter().position(|other| *other == source);
        let weight = self.weights[usize::from(source)];
        let rank = next.map_or(weight, |next| self.rank[place + next]);
        whole * u64::from(weight) + u64::from(rank)
    }

    /// How many draws it takes until a source has had `n`; `None` if it never has, or not before `u64::MAX`.
    pub(super) fn draws_until(&self, source: u16, n: u64) -> Option<u64> {
        let weight = u64::from(*self.weights.get(usize::from(source))?);
        let (Some(last), true) = (n.checked_sub(1), weight > 0) else {
            return (n == 0).then_some(0);
        };
        let place = (0..self.source.len())
            .find(|i| self.source[*i] == source && u64::from(self.rank[*i]) == last % weight)?;
        (last / weight).checked_mul(self.source.len() as u64)?.checked_add(place as u64 + 1)
    }

    /// The share of each source.
    pub(super) fn shares(&self) -> Vec<f64> {
        self.weights.iter().map(|weight| f64::from(*weight) / self.source.len() as f64).collect()
    }

    /// The memory that it holds.
    pub(super) fn bytes(&self) -> u64 {
        (self.source.len() * 6 + self.weights.len() * 4) as u64
    }

    /// The length of a period.
    pub(super) fn period(&self) -> u64 {
        self.source.len() as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the period is at most 2^20")]
    fn split(&self, t: u64) -> (u64, usize) {
        let period = self.source.len() as u64;
        (t / period, (t % period) as usize)
    }
}

trait PopIfDue {
    fn pop_if_due(&mut self, now: u64) -> Option<Reverse<(u64, u16)>>;
}

impl PopIfDue for BinaryHeap<Reverse<(u64, u16)>> {
    fn pop_if_due(&mut self, now: u64) -> Option<Reverse<(u64, u16)>> {
        self.peek().is_some_and(|Reverse((time, _))| *time <= now).then(|| self.pop())?
    }
}
