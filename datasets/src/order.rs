//! In which order an epoch visits the samples: permutations that are computed, not stored.
//!
//! [`Order`] is one permutation of samples that all lie in memory. [`SourceOrder`] is for row groups that are read one
//! by one, and is two permutations:
//!
//! | [`Shuffle`] | row groups of an epoch | rows (or bins) inside a window |
//! |---|---|---|
//! | `none` | as stored | as stored |
//! | `window` | as stored | permuted |
//! | `global` | permuted over the whole source | permuted |
//!
//! A *window* is consecutive row groups of the epoch's order: groups are taken until they hold at least
//! `window_tokens`, or the epoch ends. Row groups are permuted by the key `("groups <source>", epoch)`, what is inside
//! window `w` by the key `("rows <source>", epoch, w)`, both by [`random::permute`]: all is a function of the data, the
//! seed, the epoch and the index. Planning an epoch is one pass over the numbers of its row groups.

use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::random;

/// The version of every order here. A cursor of another version is refused.
pub const ORDER_VERSION: u32 = 1;

/// How much an epoch's order differs from the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shuffle {
    /// As stored.
    None,
    /// Row groups as stored, permuted inside windows of them.
    Window,
    /// Row groups permuted over the whole source, and inside windows of them.
    #[default]
    Global,
}

/// The order of one source, epoch by epoch.
#[derive(Debug, Clone)]
pub struct SourceOrder {
    shuffle: Shuffle,
    window_tokens: u64,
    seed: u64,
    groups: String,
    rows: String,
}

/// The windows of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochOrder {
    /// All row groups, in the epoch's order.
    pub groups: Vec<u32>,
    /// Window `w` is `groups[bounds[w]..bounds[w + 1]]`.
    pub bounds: Vec<u32>,
}

impl EpochOrder {
    /// How many windows the epoch has.
    pub fn num_windows(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The row groups of a window.
    ///
    /// # Panics
    /// If there is no such window.
    pub fn window(&self, window: usize) -> &[u32] {
        &self.groups[self.bounds[window] as usize..self.bounds[window + 1] as usize]
    }
}

impl SourceOrder {
    /// The order of the source of this name.
    pub fn new(source: &str, shuffle: Shuffle, window_tokens: u64, seed: u64) -> Self {
        let (groups, rows) = (format!("groups {source}"), format!("rows {source}"));
        Self { shuffle, window_tokens, seed, groups, rows }
    }

    /// The windows of an epoch, of row groups that have so many tokens each.
    ///
    /// # Panics
    /// If there are 2^32 row groups.
    pub fn epoch(&self, epoch: u64, tokens: &[u64]) -> EpochOrder {
        let n = u32::try_from(tokens.len()).expect("row groups are fewer than 2^32");
        let mut groups: Vec<u32> = (0..n).collect();
        if self.shuffle == Shuffle::Global {
            let key = random::key(self.seed, &self.groups, epoch);
            for group in &mut groups {
                let image = random::permute(u64::from(*group), u64::from(n), key);
                *group = u32::try_from(image).expect("a permutation of 0..n stays below n");
            }
        }
        let (mut bounds, mut sum) = (vec![0], 0u64);
        for (end, group) in (1..).zip(&groups) {
            sum = sum.saturating_add(tokens[*group as usize]);
            if sum >= self.window_tokens || end == n {
                bounds.push(end);
                sum = 0;
            }
        }
        EpochOrder { groups, bounds }
    }

    /// In which order the `n` rows, or bins, of a window come.
    #[expect(clippy::missing_panics_doc, reason = "a permutation of 0..n stays below n")]
    pub fn inside(&self, epoch: u64, window: usize, n: u32) -> impl Iterator<Item = u32> + use<> {
        let shuffle = self.shuffle != Shuffle::None;
        let key = random::stream(self.seed, &self.rows, epoch, window as u64).next_u64();
        (0..n).map(move |index| {
            let at =
                if shuffle { random::permute(index.into(), n.into(), key) } else { index.into() };
            u32::try_from(at).expect("a permutation of 0..n stays below n")
        })
    }
}

/// The most rows or tokens that a window can have in any epoch, of row groups that have `(tokens, rows)` each.
///
/// The groups before a window's last have less than `window_tokens` together, and so at most as many rows as tokens of
/// the densest group; groups without tokens may all be in one window.
pub fn largest_window(
    groups: impl Iterator<Item = (u64, u64)> + Clone,
    window_tokens: u64,
) -> (u64, u64) {
    let (mut tokens, mut rows, mut empty) = ((0, 0), (0, 0), 0u64);
    let mut density = 0u128;
    for (group_tokens, group_rows) in groups {
        tokens = (tokens.0.max(group_tokens), tokens.1 + group_tokens);
        rows = (rows.0.max(group_rows), rows.1 + group_rows);
        // In 2^-32 rows a token, rounded up.
        match (u128::from(group_rows) << 32).checked_div(group_tokens.into()) {
            Some(of_group) => density = density.max(of_group + 1),
            None => empty += group_rows,
        }
    }
    let before = window_tokens.saturating_sub(1);
    let rows_before = (u128::from(before).saturating_mul(density) >> 32) + 1;
    let rows_before = u64::try_from(rows_before).unwrap_or(u64::MAX);
    let most_rows = rows.0.saturating_add(empty).saturating_add(rows_before);
    (tokens.0.saturating_add(before).min(tokens.1), most_rows.min(rows.1))
}

/// The order of `n` samples, epoch by epoch.
///
/// # Examples
/// ```
/// use datasets::order::Order;
///
/// let order = Order::new(5, true, 7);
/// let mut epoch: Vec<u64> = (0..5).map(|index| order.at(0, index)).collect();
/// epoch.sort();
/// assert_eq!(epoch, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    n: u64,
    shuffle: bool,
    seed: u64,
}

impl Order {
    /// The order of `n` samples: shuffled anew each epoch, or as they lie.
    pub fn new(n: u64, shuffle: bool, seed: u64) -> Self {
        Self { n, shuffle, seed }
    }

    /// The sample that comes `index`-th in an epoch.
    pub fn at(&self, epoch: u64, index: u64) -> u64 {
        if self.shuffle { random::permute(index, self.n, self.key(epoch)) } else { index }
    }

    /// The whole order of an epoch.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = u64> + use<> {
        let (order, key) = (*self, self.key(epoch));
        let at = move |i| {
            if order.shuffle { random::permute(i, order.n, key) } else { i }
        };
        (0..self.n).map(at)
    }

    fn key(&self, epoch: u64) -> u64 {
        random::key(self.seed, "order", epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_visits_every_sample_once_in_an_order_of_its_own() {
        let order = Order::new(1000, true, 3);
        let mut epochs: Vec<Vec<u64>> = (0..3).map(|epoch| order.epoch(epoch).collect()).collect();
        assert_ne!(epochs[0], epochs[1]);
        assert_ne!(epochs[0], Order::new(1000, true, 4).epoch(0).collect::<Vec<_>>());
        for (epoch, visited) in (0..).zip(&mut epochs) {
            let one_by_one: Vec<_> = (0..1000).map(|index| order.at(epoch, index)).collect();
            assert_eq!(*visited, one_by_one);
            visited.sort_unstable();
            assert!(visited.iter().copied().eq(0..1000));
        }
        assert!(Order::new(10, false, 3).epoch(5).eq(0..10));
        assert_eq!(Order::new(10, false, 3).at(5, 9), 9);
    }

    fn sizes(n: u64) -> Vec<u64> {
        (0..n).map(|i| random::below(&mut random::stream(1, "sizes", 0, i), 100)).collect()
    }

    #[test]
    fn windows_partition_the_groups_and_each_holds_what_it_must() {
        let sizes = sizes(500);
        for shuffle in [Shuffle::None, Shuffle::Window, Shuffle::Global] {
            for window_tokens in [0, 1, 250, 10_000, u64::MAX] {
                let order = SourceOrder::new("a", shuffle, window_tokens, 7).epoch(3, &sizes);
                let mut groups = order.groups.clone();
                let stored = groups.is_sorted();
                assert_eq!(stored, shuffle != Shuffle::Global);
                groups.sort_unstable();
                assert!(groups.iter().copied().eq(0..500));
                let of = |groups: &[u32]| groups.iter().map(|g| sizes[*g as usize]).sum::<u64>();
                let rows = |g: &u32| u64::from(*g % 7);
                let densities = sizes.iter().zip(0..).map(|(tokens, g)| (*tokens, rows(&g)));
                let (most_tokens, most_rows) = largest_window(densities, window_tokens);
                for window in 0..order.num_windows() {
                    let groups = order.window(window);
                    assert!(!groups.is_empty());
                    assert!(of(&groups[..groups.len() - 1]) < window_tokens.max(1));
                    assert!(of(groups) >= window_tokens || window + 1 == order.num_windows());
                    assert!(of(groups) <= most_tokens);
                    assert!(groups.iter().map(rows).sum::<u64>() <= most_rows);
                }
                assert_eq!(*order.bounds.last().unwrap(), 500);
            }
        }
        assert_eq!(SourceOrder::new("a", Shuffle::Global, 5, 7).epoch(0, &[]).num_windows(), 0);
    }

    #[test]
    fn orders_differ_by_seed_source_epoch_and_window() {
        let sizes = sizes(500);
        let groups = |source, seed, epoch| {
            SourceOrder::new(source, Shuffle::Global, 9, seed).epoch(epoch, &sizes).groups
        };
        let rows = |source, seed, epoch, window| {
            let order = SourceOrder::new(source, Shuffle::Window, 9, seed);
            order.inside(epoch, window, 500).collect::<Vec<_>>()
        };
        let all = [
            groups("a", 1, 0),
            groups("b", 1, 0),
            groups("a", 2, 0),
            groups("a", 1, 1),
            rows("a", 1, 0, 0),
            rows("b", 1, 0, 0),
            rows("a", 2, 0, 0),
            rows("a", 1, 1, 0),
            rows("a", 1, 0, 1),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| one != other));
            let mut sorted = one.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..500));
        }
        // These numbers are `ORDER_VERSION` 1: who changes them raises it.
        assert_eq!(groups("a", 1, 0)[..4], PINNED_GROUPS);
        assert_eq!(rows("a", 1, 0, 0)[..4], PINNED_ROWS);
    }

    const PINNED_GROUPS: [u32; 4] = [401, 240, 12, 329];
    const PINNED_ROWS: [u32; 4] = [456, 150, 412, 64];
}
