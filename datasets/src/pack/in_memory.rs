//! Samples that are held in memory, concatenated and cut. To be replaced by [`loader`](crate::loader), which gives the
//! same kind of sequences of data of any size.
//!
//! An epoch is the stream of its samples' tokens in the epoch's [`Order`], each sample with the tokens that begin and
//! end a document around it. Sequence `i` of the epoch is tokens `[i·S, (i+1)·S]` of that stream: `S + 1` tokens, of
//! which the last is only a label and is the first of the next sequence. What is left at the epoch's end is too short
//! for a sequence and is dropped. Every epoch has as many tokens, so sequence `g` of the run is sequence
//! `g mod n` of epoch `g / n`: nothing is carried over, and any sequence is found by a binary search.

use std::sync::{Arc, Mutex, PoisonError};

use crate::order::Order;
use crate::shard::Sample;

/// How samples become sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// How many tokens a sequence predicts: it has one more.
    pub seq_tokens: usize,
    /// The token put before each sample, if any.
    pub bos: Option<u32>,
    /// The token put after each sample, if any.
    pub eos: Option<u32>,
    /// Whether each epoch has an order of its own, or that of the samples.
    pub shuffle: bool,
    /// The seed of the orders.
    pub seed: u64,
}

/// A packed row of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// `seq_tokens + 1` tokens: inputs are all but the last, labels all but the first.
    pub tokens: Vec<u32>,
    /// The epoch that the sequence belongs to.
    pub epoch: u64,
}

/// An error of packing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Sequences of no tokens.
    #[error("a sequence cannot have 0 tokens")]
    NoTokens,
    /// Fewer tokens than one sequence has.
    #[error("the samples have {have} tokens, one sequence needs {need}")]
    TooShort {
        /// The tokens of an epoch, those between documents included.
        have: u64,
        /// The tokens of a sequence.
        need: u64,
    },
}

/// The sequences of all epochs, each a function of its index. May be shared between threads.
#[derive(Debug)]
pub struct Sequences {
    packing: Packing,
    order: Order,
    /// The tokens of all samples, one after the other.
    tokens: Vec<u32>,
    /// Sample `i` is `tokens[bounds[i]..bounds[i + 1]]`.
    bounds: Vec<usize>,
    num_tokens: u64,
    /// The epoch that was asked for last: mostly the next one too.
    last: Mutex<Option<Arc<Epoch>>>,
}

/// The order of an epoch, laid out.
#[derive(Debug)]
struct Epoch {
    number: u64,
    samples: Vec<usize>,
    /// Where each of `samples` starts in the epoch's stream.
    starts: Vec<u64>,
}

impl Sequences {
    /// Packs samples. Their tokens are moved into one array; nothing is packed before it is asked for.
    ///
    /// # Errors
    /// [`PackError::TooShort`] if the samples do not fill one sequence.
    pub fn new(samples: Vec<Sample>, packing: Packing) -> Result<Self, PackError> {
        if packing.seq_tokens == 0 {
            return Err(PackError::NoTokens);
        }
        let order = Order::new(samples.len() as u64, packing.shuffle, packing.seed);
        let mut tokens = Vec::with_capacity(samples.iter().map(|sample| sample.tokens.len()).sum());
        let mut bounds = vec![0];
        for sample in samples {
            tokens.extend_from_slice(&sample.tokens);
            bounds.push(tokens.len());
        }
        let around = u64::from(packing.bos.is_some()) + u64::from(packing.eos.is_some());
        let num_tokens = tokens.len() as u64 + around * (bounds.len() as u64 - 1);
        let need = (packing.seq_tokens as u64).saturating_add(1);
        if num_tokens < need {
            return Err(PackError::TooShort { have: num_tokens, need });
        }
        Ok(Self { packing, order, tokens, bounds, num_tokens, last: Mutex::new(None) })
    }

    /// How many sequences an epoch has: at least one.
    pub fn num_sequences(&self) -> u64 {
        (self.num_tokens - 1) / self.packing.seq_tokens as u64
    }

    /// How many tokens an epoch has, those around the samples and the dropped rest included.
    pub fn num_tokens(&self) -> u64 {
        self.num_tokens
    }

    /// How many samples an epoch visits.
    pub fn num_samples(&self) -> u64 {
        self.bounds.len() as u64 - 1
    }

    /// How the samples are packed.
    pub fn packing(&self) -> &Packing {
        &self.packing
    }

    /// A sequence of the run, by its index over all epochs.
    #[expect(clippy::missing_panics_doc, reason = "a place in memory is a usize")]
    pub fn get(&self, global_index: u64) -> Sequence {
        let number = global_index / self.num_sequences();
        let epoch = self.epoch(number);
        let size = self.packing.seq_tokens;
        let start = global_index % self.num_sequences() * size as u64;
        let mut tokens = Vec::with_capacity(size + 1);
        // The sample that holds the first token, and the tokens of it that come before.
        let mut place = epoch.starts.partition_point(|begin| *begin <= start) - 1;
        let mut skip = usize::try_from(start - epoch.starts[place])
            .expect("a place within a sample that is held in memory");
        while tokens.len() <= size {
            let sample = epoch.samples[place];
            let text = &self.tokens[self.bounds[sample]..self.bounds[sample + 1]];
            let whole = self.packing.bos.iter().chain(text).chain(&self.packing.eos);
            tokens.extend(whole.skip(skip).take(size + 1 - tokens.len()));
            (place, skip) = (place + 1, 0);
        }
        Sequence { tokens, epoch: number }
    }

    fn epoch(&self, number: u64) -> Arc<Epoch> {
        // A panic elsewhere leaves a whole epoch or none behind.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(epoch) = last.as_ref().filter(|epoch| epoch.number == number) {
            return Arc::clone(epoch);
        }
        let around =
            usize::from(self.packing.bos.is_some()) + usize::from(self.packing.eos.is_some());
        let mut samples = Vec::with_capacity(self.bounds.len() - 1);
        let mut starts = Vec::with_capacity(self.bounds.len() - 1);
        let mut start = 0;
        for sample in self.order.epoch(number) {
            let sample = usize::try_from(sample).expect("the samples are held in memory");
            samples.push(sample);
            starts.push(start);
            start += (self.bounds[sample + 1] - self.bounds[sample] + around) as u64;
        }
        let epoch = Arc::new(Epoch { number, samples, starts });
        *last = Some(Arc::clone(&epoch));
        epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{below, stream};
    use crate::shard::SampleId;

    fn samples(n: u64, longest: u64) -> Vec<Sample> {
        let mut next = 100;
        (0..n)
            .map(|i| {
                let length = below(&mut stream(2, "pack", 0, i), longest + 1);
                let tokens = (0..length)
                    .map(|_| {
                        next += 1;
                        next
                    })
                    .collect();
                Sample { id: SampleId([0; 16]), source: "s".into(), tokens, num_bytes: 1 }
            })
            .collect()
    }

    /// The plain loop: concatenate the epoch, cut it from the front.
    fn plainly(samples: &[Sample], packing: &Packing, epochs: u64) -> Vec<Sequence> {
        let order = Order::new(samples.len() as u64, packing.shuffle, packing.seed);
        let mut sequences = Vec::new();
        for epoch in 0..epochs {
            let mut all = Vec::new();
            for i in order.epoch(epoch) {
                all.extend(packing.bos);
                all.extend(&samples[usize::try_from(i).unwrap()].tokens);
                all.extend(packing.eos);
            }
            let mut start = 0;
            while start + packing.seq_tokens < all.len() {
                let tokens = all[start..=start + packing.seq_tokens].to_vec();
                sequences.push(Sequence { tokens, epoch });
                start += packing.seq_tokens;
            }
        }
        sequences
    }

    #[test]
    fn sequences_are_those_of_plain_concatenation_in_any_order_of_asking() {
        for (seq_tokens, bos, eos, shuffle, longest) in [
            (1, None, None, true, 3),
            (7, Some(1), Some(2), true, 20),
            (7, None, Some(2), false, 20),
            (16, Some(1), None, true, 1),
            (64, None, None, true, 5),
            (3, Some(1), Some(2), true, 0),
        ] {
            let samples = samples(60, longest);
            let packing = Packing { seq_tokens, bos, eos, shuffle, seed: 9 };
            let expected = plainly(&samples, &packing, 3);
            let sequences = Sequences::new(samples.clone(), packing.clone()).unwrap();
            assert_eq!(sequences.num_sequences() * 3, expected.len() as u64, "{packing:?}");
            for (index, sequence) in (0..).zip(&expected) {
                assert_eq!(sequences.get(index), *sequence, "{packing:?}, {index}");
            }
            let mut rng = stream(4, "ask", 0, 0);
            for _ in 0..200 {
                let index = below(&mut rng, expected.len() as u64);
                assert_eq!(sequences.get(index), expected[usize::try_from(index).unwrap()]);
            }
        }
    }

    #[test]
    fn no_token_is_lost_or_doubled_but_the_rest_of_the_epoch() {
        let samples = samples(100, 30);
        let packing = Packing { seq_tokens: 50, bos: None, eos: None, shuffle: true, seed: 1 };
        let sequences = Sequences::new(samples, packing).unwrap();
        let all: Vec<_> = (0..sequences.num_sequences()).map(|i| sequences.get(i).tokens).collect();
        let mut inputs: Vec<u32> = all.iter().flat_map(|tokens| tokens[..50].to_vec()).collect();
        assert!(all.windows(2).all(|pair| pair[0][50] == pair[1][0]));
        inputs.sort_unstable();
        inputs.dedup();
        assert_eq!(inputs.len() as u64, sequences.num_sequences() * 50, "each token once");
        assert!(sequences.num_tokens() - inputs.len() as u64 <= 50);
        assert_ne!(all[0], sequences.get(sequences.num_sequences()).tokens, "epochs differ");
    }

    #[test]
    fn a_corpus_shorter_than_a_sequence_is_an_error() {
        let one = vec![Sample { tokens: vec![5; 9], ..samples(1, 0).remove(0) }];
        let packing =
            |seq_tokens| Packing { seq_tokens, bos: None, eos: None, shuffle: true, seed: 1 };
        assert_eq!(Sequences::new(one.clone(), packing(8)).unwrap().num_sequences(), 1);
        let error = Sequences::new(one.clone(), packing(9)).unwrap_err();
        assert_eq!(error, PackError::TooShort { have: 9, need: 10 });
        assert_eq!(Sequences::new(one, packing(0)).unwrap_err(), PackError::NoTokens);
        let error = Sequences::new(Vec::new(), packing(usize::MAX)).unwrap_err();
        assert!(matches!(error, PackError::TooShort { have: 0, .. }));
    }
}
