//! A set of small numbers that knows its smallest at least `x`.

/// A set of numbers `1..=size`: bits, and above each level one that says which of its words are not 0.
pub(super) struct Rooms {
    levels: Vec<Vec<u64>>,
}

impl Rooms {
    pub(super) fn new(size: usize) -> Self {
        let mut words = size / 64 + 1;
        let mut levels = vec![vec![0; words]];
        while words > 1 {
            words = words.div_ceil(64);
            levels.push(vec![0; words]);
        }
        Self { levels }
    }

    pub(super) fn insert(&mut self, mut number: usize) {
        for level in &mut self.levels {
            level[number / 64] |= 1 << (number % 64);
            number /= 64;
        }
    }

    pub(super) fn remove(&mut self, mut number: usize) {
        for level in &mut self.levels {
            level[number / 64] &= !(1 << (number % 64));
            if level[number / 64] != 0 {
                return;
            }
            number /= 64;
        }
    }

    /// The smallest number of the set that is not below `least`.
    pub(super) fn at_least(&self, mut least: usize) -> Option<usize> {
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(least / 64)? & (u64::MAX << (least % 64));
            if word != 0 {
                let found = least / 64 * 64 + word.trailing_zeros() as usize;
                let down = |found: usize, level: &Vec<u64>| {
                    found * 64 + level[found].trailing_zeros() as usize
                };
                return Some(self.levels[..height].iter().rev().fold(found, down));
            }
            least = least / 64 + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{below, stream};

    #[test]
    fn a_set_of_rooms_is_a_set() {
        for size in [1, 63, 64, 65, 4097, 300_000] {
            let mut rooms = Rooms::new(size);
            let mut plain = std::collections::BTreeSet::new();
            let mut rng = stream(6, "rooms", 0, size as u64);
            for _ in 0..3000 {
                let number = 1 + usize::try_from(below(&mut rng, size as u64)).unwrap();
                if plain.insert(number) {
                    rooms.insert(number);
                } else {
                    plain.remove(&number);
                    rooms.remove(number);
                }
                let least = 1 + usize::try_from(below(&mut rng, size as u64)).unwrap();
                assert_eq!(rooms.at_least(least), plain.range(least..).next().copied());
            }
        }
    }
}
