//! In which order an epoch visits the samples: a permutation that is computed, not stored.

use crate::random;

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
}
