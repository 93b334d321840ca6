//! Distributions over words, from which a word can be drawn and of which each word's probability is known.

use std::ops::Range;

use super::words::{Class, Word, Words};
use crate::random::{ChaCha8Rng, mix, permute, uniform, unpermute};

/// A mixture. The weights sum to 1.
pub(super) type Mixture = Vec<(f64, Dist)>;

/// One part of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Dist {
    /// Some words, each with its probability.
    Some(Vec<(Word, f64)>),
    /// A class's words by Zipf's law, in the ranking that `of` has.
    Zipf { class: Class, of: u64 },
    /// The same, but the first few ranks alone.
    Top { class: Class, of: u64, ranks: u32 },
    /// The same as `Zipf`, without some words.
    Without { class: Class, of: u64, words: Vec<Word> },
}

/// Zipf's exponent.
const EXPONENT: f64 = 0.8;

/// Zipf's law for each class, and the rankings' seed.
#[derive(Debug)]
pub(super) struct Laws {
    seed: u64,
    ranges: Vec<Range<Word>>,
    /// For each class, the sums of the weights of the first ranks.
    sums: Vec<Vec<f64>>,
}

impl Laws {
    pub(super) fn new(seed: u64, words: &Words) -> Self {
        let ranges: Vec<_> =
            super::words::CLASSES.iter().map(|class| words.range(*class)).collect();
        let sums = ranges
            .iter()
            .map(|range| {
                let mut sum = 0.0;
                (1..=range.end - range.start)
                    .map(|rank| {
                        sum += f64::from(rank).powf(-EXPONENT);
                        sum
                    })
                    .collect()
            })
            .collect();
        Self { seed, ranges, sums }
    }

    /// The probability of a word.
    pub(super) fn probability(&self, mixture: &Mixture, word: Word) -> f64 {
        mixture.iter().map(|(weight, dist)| weight * self.of_dist(dist, word)).sum()
    }

    /// Draws a word.
    pub(super) fn draw(&self, mixture: &Mixture, rng: &mut ChaCha8Rng) -> Word {
        let dist = pick(mixture.iter().map(|(weight, dist)| (dist, *weight)), rng);
        match dist {
            Dist::Some(words) => pick(words.iter().copied(), rng),
            Dist::Zipf { class, of } => self.draw_rank(*class, *of, None, rng),
            Dist::Top { class, of, ranks } => self.draw_rank(*class, *of, Some(*ranks), rng),
            Dist::Without { class, of, words } => loop {
                let word = self.draw_rank(*class, *of, None, rng);
                if !words.contains(&word) {
                    return word;
                }
            },
        }
    }

    fn of_dist(&self, dist: &Dist, word: Word) -> f64 {
        match dist {
            Dist::Some(words) => {
                words.iter().filter(|(found, _)| *found == word).map(|(_, p)| p).sum()
            }
            Dist::Zipf { class, of } => self.of_rank(*class, *of, None, word),
            Dist::Top { class, of, ranks } => self.of_rank(*class, *of, Some(*ranks), word),
            Dist::Without { class, of, words } if !words.contains(&word) => {
                let rest: f64 = words.iter().map(|w| self.of_rank(*class, *of, None, *w)).sum();
                self.of_rank(*class, *of, None, word) / (1.0 - rest)
            }
            Dist::Without { .. } => 0.0,
        }
    }

    /// The rank of a word is a permutation of its place in the class, keyed by whose ranking it is.
    fn of_rank(&self, class: Class, of: u64, ranks: Option<u32>, word: Word) -> f64 {
        let range = &self.ranges[class as usize];
        if !range.contains(&word) {
            return 0.0;
        }
        let n = range.end - range.start;
        let ranks = ranks.unwrap_or(n).min(n);
        let rank = permute(u64::from(word - range.start), u64::from(n), self.key(class, of));
        if rank >= u64::from(ranks) {
            return 0.0;
        }
        let total = self.sums[class as usize][ranks as usize - 1];
        ((rank + 1) as f64).powf(-EXPONENT) / total
    }

    fn draw_rank(&self, class: Class, of: u64, ranks: Option<u32>, rng: &mut ChaCha8Rng) -> Word {
        let range = &self.ranges[class as usize];
        let n = range.end - range.start;
        let sums = &self.sums[class as usize][..ranks.unwrap_or(n).min(n) as usize];
        let at = uniform(rng) * sums.last().copied().unwrap_or(0.0);
        let rank = sums.partition_point(|sum| *sum <= at).min(sums.len() - 1);
        let place = unpermute(rank as u64, u64::from(n), self.key(class, of));
        range.start + u32::try_from(place).expect("a place in a class")
    }

    fn key(&self, class: Class, of: u64) -> u64 {
        mix(self.seed ^ mix(of ^ mix(class as u64 + 1)))
    }
}

/// Draws one of some things by their probabilities, which sum to 1.
pub(super) fn pick<T>(things: impl Iterator<Item = (T, f64)>, rng: &mut ChaCha8Rng) -> T {
    let mut at = uniform(rng);
    let mut last = None;
    for (thing, probability) in things.filter(|(_, probability)| *probability > 0.0) {
        if at < probability {
            return thing;
        }
        at -= probability;
        last = Some(thing);
    }
    last.expect("a distribution over something")
}
