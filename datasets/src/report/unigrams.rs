//! How often each token is there.

use serde::{Deserialize, Serialize};

/// Counts by id. Ids beyond the last that was seen are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unigrams(Vec<u64>);

impl Unigrams {
    /// Counts tokens.
    pub fn count(&mut self, ids: &[u32]) {
        for id in ids {
            let id = *id as usize;
            if id >= self.0.len() {
                self.0.resize(id + 1, 0);
            }
            self.0[id] += 1;
        }
    }

    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.0, &other.0);
    }

    /// The counts, by id.
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    /// How many tokens were counted.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many different ones.
    pub fn distinct(&self) -> usize {
        self.0.iter().filter(|count| **count > 0).count()
    }

    /// The entropy of the counts, in bits a token: what a code of single tokens needs at least. Zero if nothing was
    /// counted.
    pub fn entropy_bits(&self) -> f64 {
        let total = self.total() as f64;
        let bits = |count: &u64| {
            let p = *count as f64 / total;
            -p * p.log2()
        };
        self.0.iter().filter(|count| **count > 0).map(bits).sum()
    }
}

/// Adds counts, place by place.
pub(super) fn add(to: &mut Vec<u64>, from: &[u64]) {
    if to.len() < from.len() {
        to.resize(from.len(), 0);
    }
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}
