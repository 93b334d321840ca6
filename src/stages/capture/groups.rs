//! Which samples the teacher is asked about together.

use std::ops::Range;

use datasets::logits::Cache;
use datasets::store::{Digest, Hasher};

use super::super::logits::wanted::Wanted;

/// Tokens of a window: its samples are decoded together, and sorted.
const WINDOW_TOKENS: u64 = 1 << 20;

/// Samples in groups of about one length: within a window of the text's order the longest come first, so that little of a
/// forward pass is padding, and so that what needs the most memory comes at once.
#[derive(Debug)]
pub struct Groups {
    samples: Vec<Wanted>,
    groups: Vec<Range<usize>>,
    /// Of each group, where its window begins among the samples.
    windows: Vec<usize>,
}

impl Groups {
    /// Of samples in the order of the text; a group's forward pass has at most `batch_tokens` tokens, padding included, or
    /// one sample.
    pub fn new(mut samples: Vec<Wanted>, batch_tokens: u64) -> Self {
        let (mut groups, mut windows) = (Vec::new(), Vec::new());
        let mut begin = 0;
        while begin < samples.len() {
            let mut tokens = 0;
            let fits = |sample: &Wanted| {
                tokens += u64::from(sample.tokens);
                tokens <= WINDOW_TOKENS
            };
            let len = samples[begin..].iter().copied().take_while(fits).count().max(1);
            let window = &mut samples[begin..begin + len];
            // Stable: of equal lengths in the order of the text.
            window.sort_by_key(|sample| std::cmp::Reverse(sample.tokens));
            let mut first = begin;
            while first < begin + len {
                let longest = u64::from(samples[first].tokens.max(1));
                let most = usize::try_from(batch_tokens / longest).unwrap_or(usize::MAX).max(1);
                let end = first.saturating_add(most).min(begin + len);
                groups.push(first..end);
                windows.push(begin);
                first = end;
            }
            begin += len;
        }
        Self { samples, groups, windows }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.groups.len() as u64
    }

    /// The tokens of all samples.
    pub fn tokens(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.tokens)).sum()
    }

    /// Those of them that a cache has.
    pub fn tokens_in(&self, cache: &Cache) -> u64 {
        let there = self.samples.iter().filter(|sample| cache.contains(sample.id));
        there.map(|sample| u64::from(sample.tokens)).sum()
    }

    /// A digest of which samples are asked about together, and in which order.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        for group in &self.groups {
            hasher.update(&(group.len() as u64).to_le_bytes());
            self.samples[group.clone()].iter().for_each(|sample| {
                hasher.update(&sample.id.0);
            });
        }
        hasher.digest()
    }

    /// A group, and its window; none, if there are not so many.
    pub fn get(&self, index: u64) -> Option<(&[Wanted], usize)> {
        let index = usize::try_from(index).ok()?;
        Some((&self.samples[self.groups.get(index)?.clone()], self.windows[index]))
    }
}

#[cfg(test)]
mod tests {
    use datasets::random::{below, stream};
    use datasets::shard::SampleId;

    use super::*;

    fn samples(count: u32) -> Vec<Wanted> {
        let mut random = stream(1, "lengths", 0, 0);
        let of = |row: u32| Wanted {
            id: SampleId(u128::from(row).to_be_bytes()),
            tokens: 2 + below(&mut random, 900) as u32,
            source: 0,
            shard: 0,
            row_group: 0,
            row,
        };
        (0..count).map(of).collect()
    }

    #[test]
    fn every_sample_is_in_one_group_and_little_is_padding() {
        let all = samples(5000);
        let groups = Groups::new(all.clone(), 4096);
        let (mut seen, mut padded, mut real, mut windows) = (Vec::new(), 0, 0, Vec::new());
        for index in 0..groups.len() {
            let (group, window) = groups.get(index).unwrap();
            let longest = u64::from(group[0].tokens);
            assert!(longest * group.len() as u64 <= 4096);
            assert!(group.is_sorted_by(|a, b| a.tokens >= b.tokens));
            padded += longest * group.len() as u64;
            real += group.iter().map(|sample| u64::from(sample.tokens)).sum::<u64>();
            seen.extend(group.iter().map(|sample| sample.row));
            windows.push(window);
        }
        assert!(groups.get(groups.len()).is_none() && windows.is_sorted());
        windows.dedup();
        assert!(windows.len() >= 2, "one window says nothing of several");
        seen.sort_unstable();
        assert_eq!(seen, (0..5000).collect::<Vec<_>>());
        assert_eq!(real, groups.tokens());
        assert_eq!(groups.digest(), Groups::new(all.clone(), 4096).digest());
        assert_ne!(groups.digest(), Groups::new(all, 2048).digest(), "grouped otherwise");
        assert!(padded * 100 < real * 103, "{padded} for {real}");
    }

    #[test]
    fn a_sample_that_is_longer_than_a_batch_is_asked_about_alone() {
        let groups = Groups::new(samples(50), 100);
        for index in 0..groups.len() {
            let (group, _) = groups.get(index).unwrap();
            assert!(group.len() == 1 || u64::from(group[0].tokens) * group.len() as u64 <= 100);
        }
        assert_eq!(Groups::new(Vec::new(), 100).len(), 0);
    }
}
