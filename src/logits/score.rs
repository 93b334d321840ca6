//! Samples in, what the teacher thinks of them out.

use std::sync::Arc;

use datasets::logits::sampling::sample;
use datasets::logits::{Profile, Scored};
use datasets::shard::SampleId;
use kernels::capture::{Captured, capture};
use kernels::host::{is_host, take};
use kernels::loss::head::chunk_tokens;
use kernels::{DType, Int, Tensor};

use crate::model::Decoder;

/// A sample that the teacher is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name in the cache.
    pub id: SampleId,
    /// Where its text came from.
    pub source: Arc<str>,
    /// What the teacher reads, with the tokens around the text; two or more.
    pub tokens: Vec<u32>,
}

/// Asks a teacher.
#[derive(Clone)]
pub struct Scorer {
    /// The teacher.
    pub teacher: Decoder,
    /// Ids below it are words: what the teacher's head has beyond them has no probability.
    pub vocab_size: u32,
    /// How much is kept.
    pub profile: Profile,
}

impl Scorer {
    /// The head, of those ids that are words: `[hidden, vocab]`.
    pub fn head(&self) -> Tensor<2> {
        let head = self.teacher.head();
        let [_, all] = head.dims();
        let words = (self.vocab_size as usize).min(all);
        if words < all { head.narrow(1, 0, words) } else { head }
    }

    /// Hidden states and labels of every position of these samples, one sample after the other. They are read together,
    /// the shorter ones padded; nobody sees padding, for attention looks back only, and its rows go before the head.
    ///
    /// # Shapes
    ///
    /// - output: `[positions, hidden]`, and as many labels
    pub fn hidden(&self, asked: &[Asked]) -> (Tensor<2>, Vec<u32>) {
        let device = self.teacher.device();
        let seq = asked.iter().map(|sample| sample.tokens.len()).max().map_or(1, |n| n - 1);
        let (mut inputs, mut rows, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (row, Asked { tokens, .. }) in asked.iter().enumerate() {
            let positions = tokens.len() - 1;
            inputs.extend(tokens[..positions].iter().map(|id| i64::from(*id)));
            inputs.resize((row + 1) * seq, 0);
            rows.extend((row * seq..row * seq + positions).map(|place| place as i64));
            labels.extend_from_slice(&tokens[1..]);
        }
        let ids = Tensor::<1, Int>::from_ints(inputs.as_slice(), &device);
        let ids = ids.reshape([asked.len(), seq]);
        let hidden = self.teacher.hidden(&ids, None, &mut |_, _, _| {});
        if rows.len() == asked.len() * seq {
            return (hidden, labels);
        }
        (hidden.select(0, Tensor::from_ints(rows.as_slice(), &device)), labels)
    }

    /// What the teacher thinks of samples.
    ///
    /// # Panics
    ///
    /// If one has fewer than two tokens.
    pub fn score(&self, asked: Vec<Asked>) -> Vec<Scored> {
        if asked.is_empty() {
            return Vec::new();
        }
        let (hidden, labels) = self.hidden(&asked);
        if self.profile.is_sampled() {
            return self.sampled(asked, &hidden);
        }
        let ids: Vec<i64> = labels.iter().map(|id| i64::from(*id)).collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &self.teacher.device());
        let said = capture(&hidden, &self.head(), &ids, self.profile.most() as usize);
        let mut first = 0;
        let each = asked.into_iter().map(|asked| {
            let positions = asked.tokens.len() - 1;
            let scored = top(asked, &said, first);
            first += positions;
            scored
        });
        each.collect()
    }

    /// Entries that are drawn: the plain way, row by row.
    fn sampled(&self, asked: Vec<Asked>, hidden: &Tensor<2>) -> Vec<Scored> {
        let mut rows = LogProbs::new(hidden.clone(), self.head());
        let each = asked.into_iter().map(|asked| {
            let mut scored = blank(asked);
            for position in 0..scored.num_positions() {
                let row = rows.next_row();
                let kept = sample(row, self.profile.most(), scored.id, position as u64);
                scored.label.push(row[scored.tokens[position + 1] as usize].min(0.0));
                scored.ids.extend(kept.ids);
                scored.log_probs.extend(kept.log_weights);
                scored.tail.push(kept.tail);
                scored.drawn.push(kept.drawn);
                scored.bounds.push(u32::try_from(scored.ids.len()).unwrap_or(u32::MAX));
            }
            scored
        });
        each.collect()
    }
}

/// Whole rows of log-probabilities, one after the other; a chunk of them exists at a time.
pub struct LogProbs {
    hidden: Tensor<2>,
    head: Tensor<2>,
    next: usize,
    chunk: Vec<f32>,
    first: usize,
}

impl LogProbs {
    /// Of hidden states and a head.
    ///
    /// # Shapes
    ///
    /// - hidden: `[tokens, hidden]`, head: `[hidden, vocab]`
    pub fn new(hidden: Tensor<2>, head: Tensor<2>) -> Self {
        Self { hidden, head, next: 0, chunk: Vec::new(), first: 0 }
    }

    /// The next row.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn next_row(&mut self) -> &[f32] {
        let ([tokens, _], [_, vocab]) = (self.hidden.dims(), self.head.dims());
        assert!(self.next < tokens, "there are {tokens} rows");
        if (self.next - self.first) * vocab >= self.chunk.len() {
            let len = chunk_tokens(vocab, is_host(&self.hidden.device())).min(tokens - self.next);
            let z = self.hidden.clone().narrow(0, self.next, len).matmul(self.head.clone());
            (self.chunk, self.first) = (take(z.cast(DType::F32)), self.next);
            self.chunk.chunks_mut(vocab).for_each(log_softmax);
        }
        let row = self.next - self.first;
        self.next += 1;
        &self.chunk[row * vocab..(row + 1) * vocab]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "logarithms of single precision")]
fn log_softmax(row: &mut [f32]) {
    let max = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let mass: f64 = row.iter().map(|z| f64::from(*z - max).exp()).sum();
    let log_mass = mass.ln();
    row.iter_mut().for_each(|z| *z = (f64::from(*z - max) - log_mass) as f32);
}

fn blank(Asked { id, source, tokens }: Asked) -> Scored {
    Scored {
        id,
        source,
        tokens,
        bounds: vec![0],
        ids: Vec::new(),
        log_probs: Vec::new(),
        tail: Vec::new(),
        label: Vec::new(),
        log_z: Vec::new(),
        drawn: Vec::new(),
    }
}

/// A sample's share of what was captured, which begins at position `first` of it.
fn top(asked: Asked, said: &Captured, first: usize) -> Scored {
    let positions = asked.tokens.len() - 1;
    let (of_tokens, k) = (first..first + positions, said.k);
    let of_entries = first * k..(first + positions) * k;
    let bound = |position: usize| u32::try_from(position * k).unwrap_or(u32::MAX);
    Scored {
        bounds: (0..=positions).map(bound).collect(),
        ids: said.ids[of_entries.clone()].to_vec(),
        // Rounding may put a certain word above one.
        log_probs: said.log_probs[of_entries].iter().map(|log| log.min(0.0)).collect(),
        tail: said.rest[of_tokens.clone()].iter().map(|log| log.min(0.0)).collect(),
        label: said.label_log_probs[of_tokens].iter().map(|log| log.min(0.0)).collect(),
        ..blank(asked)
    }
}

#[cfg(test)]
mod tests {
    use kernels::device::{Choice, choose};

    use super::*;
    use crate::logits::fixture::config;
    use crate::weights::initialise;

    fn scorer(profile: &str, vocab_size: u32) -> Scorer {
        let device = choose("cpu".parse::<Choice>().unwrap()).unwrap().device;
        let teacher = initialise(&config(), 3, &device);
        Scorer { teacher, vocab_size, profile: profile.parse().unwrap() }
    }

    fn asked(lengths: &[u32]) -> Vec<Asked> {
        let of = |(n, len): (usize, &u32)| Asked {
            id: SampleId([n as u8; 16]),
            source: "a".into(),
            tokens: (0..*len).map(|i| (i * 7 + n as u32) % 30).collect(),
        };
        lengths.iter().enumerate().map(of).collect()
    }

    #[test]
    fn a_sample_in_a_batch_is_as_one_alone_and_as_a_row_by_row_softmax() {
        let scorer = scorer("k40", 40);
        let all = asked(&[9, 2, 6, 9]);
        let together = scorer.score(all.clone());
        for (one, found) in all.into_iter().zip(together) {
            let (hidden, labels) = scorer.hidden(std::slice::from_ref(&one));
            let mut rows = LogProbs::new(hidden, scorer.head());
            assert_eq!(found.num_positions(), labels.len());
            for (position, label) in labels.iter().enumerate() {
                let row = rows.next_row();
                let (ids, log_probs) = found.entries(position);
                assert_eq!(ids.len(), 40);
                for (id, log_prob) in ids.iter().zip(log_probs) {
                    assert!((row[*id as usize] - log_prob).abs() < 1e-5);
                }
                assert!((row[*label as usize] - found.label[position]).abs() < 1e-5);
                assert_eq!(found.tail[position], f32::NEG_INFINITY);
            }
        }
    }

    #[test]
    fn what_the_head_has_beyond_the_words_has_no_probability() {
        let scored = scorer("k64", 33).score(asked(&[8]));
        let (ids, log_probs) = scored[0].entries(3);
        assert!(ids.len() == 33 && ids.iter().all(|id| *id < 33), "{ids:?}");
        let mass: f32 = log_probs.iter().map(|log| log.exp()).sum();
        assert!((mass - 1.0).abs() < 1e-5, "{mass}");
    }

    #[test]
    fn what_is_drawn_of_a_sample_does_not_depend_on_its_batch() {
        let scorer = scorer("unbiased", 40);
        let all = asked(&[9, 5]);
        let alone = scorer.score(vec![all[1].clone()]).remove(0);
        let together = scorer.score(all).remove(1);
        assert_eq!(alone.ids, together.ids);
        assert!(alone.drawn.iter().any(|drawn| drawn.count > 0));
    }
}
