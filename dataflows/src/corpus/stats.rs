//! What there is of a source.

use super::doc::{Row, Why};

/// Documents, and how long they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their tokens.
    pub tokens: u64,
    /// How many are how long: the first is those without a token, and the one after it at `n` those of
    /// `2^n` tokens and more, but fewer than `2^(n + 1)`.
    pub lengths: [u64; 33],
}

impl Default for Tally {
    fn default() -> Self {
        Tally { documents: 0, bytes: 0, tokens: 0, lengths: [0; 33] }
    }
}

impl Tally {
    pub(super) fn add(&mut self, row: &Row) {
        self.documents += 1;
        self.bytes += u64::from(row.bytes);
        self.tokens += u64::from(row.tokens);
        self.lengths[bin(row.tokens)] += 1;
    }

    pub(super) fn subtract(&mut self, row: &Row) {
        self.documents -= 1;
        self.bytes -= u64::from(row.bytes);
        self.tokens -= u64::from(row.tokens);
        self.lengths[bin(row.tokens)] -= 1;
    }
}

/// The documents of a source; each is in one of the tallies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BySource {
    /// Those that are kept.
    pub kept: Tally,
    /// Those dropped as exact copies.
    pub exact: Tally,
    /// Those dropped as near another.
    pub near: Tally,
}

impl BySource {
    pub(super) fn drop(&mut self, why: Why, row: &Row) {
        self.kept.subtract(row);
        self.of(why).add(row);
    }

    pub(super) fn restore(&mut self, why: Why, row: &Row) {
        self.of(why).subtract(row);
        self.kept.add(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.documents + self.exact.documents + self.near.documents == 0
    }

    fn of(&mut self, why: Why) -> &mut Tally {
        match why {
            Why::Exact => &mut self.exact,
            Why::Near => &mut self.near,
        }
    }
}

/// The number of bits of the length.
fn bin(tokens: u32) -> usize {
    (u32::BITS - tokens.leading_zeros()) as usize
}
