//! A sample as it is stored: integers only. What is floats here is nowhere coded twice.

use std::iter;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::ValueCode;
use super::error::RowFault;
use crate::shard::SampleId;

/// The lists of a row, by their column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// What the teacher read.
    Tokens,
    /// How many entries each position has, where that differs (`k_max` is 0).
    Counts,
    /// The ids of all entries.
    Ids,
    /// The first entry's log-probability, of each position.
    First,
    /// The differences of the codes of all entries but the first of each position.
    Codes,
    /// The mass that is not among the entries.
    Tail,
    /// The log-probability of the token that came.
    Label,
    /// The log-partition at each further temperature.
    LogZ,
    /// The weight of what was drawn.
    Tau,
    /// How many of the last entries were drawn.
    Drawn,
}

/// How many lists a row has.
pub(super) const LISTS: usize = 10;

/// A row in the making.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: SampleId,
    pub(super) source: Arc<str>,
    /// How many entries each position has; 0 where that differs.
    pub(super) k: u32,
    pub(super) lists: [Vec<u32>; LISTS],
}

/// A row that lies in a decoded row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowRef<'a> {
    pub(super) id: SampleId,
    pub(super) source: &'a Arc<str>,
    pub(super) k: u32,
    pub(super) lists: [&'a [u32]; LISTS],
}

impl Row {
    pub(super) fn by_ref(&self) -> RowRef<'_> {
        let lists = std::array::from_fn(|list| self.lists[list].as_slice());
        RowRef { id: self.id, source: &self.source, k: self.k, lists }
    }

    pub(super) fn push(&mut self, list: List, value: u32) {
        self.lists[list as usize].push(value);
    }
}

impl<'a> RowRef<'a> {
    pub(super) fn list(&self, list: List) -> &'a [u32] {
        self.lists[list as usize]
    }

    pub(super) fn num_positions(&self) -> usize {
        self.list(List::Tokens).len().saturating_sub(1)
    }

    /// How many entries each position has.
    pub(super) fn counts(&self) -> impl Iterator<Item = u32> + 'a {
        let counts = self.list(List::Counts);
        let (k, positions) = (self.k, self.num_positions());
        (0..positions).map(move |position| if k > 0 { k } else { counts[position] })
    }

    /// The hash of what is in it: `row_crc`.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.id.0);
        hash.update(&self.k.to_le_bytes());
        for list in self.lists {
            hash.update(&(list.len() as u64).to_le_bytes());
            for block in list.chunks(256) {
                let mut bytes = [0; 1024];
                for (bytes, value) in iter::zip(bytes.as_chunks_mut::<4>().0, block) {
                    *bytes = value.to_le_bytes();
                }
                hash.update(&bytes[..4 * block.len()]);
            }
        }
        hash.digest()
    }

    /// Whether its lists are as long as they must be, so that it can be decoded.
    pub(super) fn check_shape(&self, temperatures: usize) -> Result<(), RowFault> {
        let positions = self.num_positions();
        let wrong =
            |what, expected: usize, found: usize| RowFault::Length { what, expected, found };
        let counts = self.list(List::Counts);
        let expected = if self.k > 0 { 0 } else { positions };
        if counts.len() != expected {
            return Err(wrong("k", expected, counts.len()));
        }
        if counts.contains(&0) {
            return Err(RowFault::NoEntry);
        }
        let entries = self.counts().map(u64::from).sum::<u64>();
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        let sampled = !self.list(List::Drawn).is_empty();
        let labels = self.list(List::Label).len();
        for (what, list, expected) in [
            ("ids", List::Ids, entries),
            ("top1_lp", List::First, positions),
            ("dcode", List::Codes, entries - positions.min(entries)),
            ("tail_lp", List::Tail, positions),
            ("label_lp", List::Label, if labels > 0 { positions } else { 0 }),
            ("logz", List::LogZ, positions * temperatures),
            ("tau", List::Tau, if sampled { positions } else { 0 }),
            ("n_tail", List::Drawn, if sampled { positions } else { 0 }),
        ] {
            let found = self.list(list).len();
            if expected != found {
                return Err(wrong(what, expected, found));
            }
        }
        let drawn = self.list(List::Drawn);
        match iter::zip(self.counts(), drawn).find(|(count, drawn)| *drawn > count) {
            Some((count, drawn)) => {
                Err(RowFault::Drawn { entries: count as usize, drawn: *drawn as usize })
            }
            None => Ok(()),
        }
    }

    /// Whether what it says can be: ids of the vocabulary, codes of the range, masses that are not more than one.
    pub(super) fn check_values(&self, vocab_size: u32, values: ValueCode) -> Result<(), RowFault> {
        for id in self.list(List::Tokens).iter().chain(self.list(List::Ids)) {
            if *id >= vocab_size {
                return Err(RowFault::IdOutOfRange { id: *id, vocab_size });
            }
        }
        let scored = self.decode(values, &values.table(), None)?;
        for position in 0..scored.num_positions() {
            let (_, log_probs) = scored.entries(position);
            let drawn = scored.drawn.get(position).map_or(0, |drawn| drawn.count as usize);
            let head = &log_probs[..log_probs.len() - drawn];
            let mass = head.iter().map(|log| f64::from(*log).exp()).sum::<f64>()
                + f64::from(scored.tail[position]).exp();
            // What quantisation may add or take.
            if !(0.95..=1.05).contains(&mass) {
                return Err(RowFault::Mass { position, mass });
            }
        }
        Ok(())
    }
}
