//! A sample and what the teacher thinks of it: plain data, in and out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::SampleFault;
use crate::shard::SampleId;

/// A sample, scored by a teacher. Position `i` is the distribution of `tokens[i + 1]`; there is one fewer than tokens.
///
/// Lists of positions are flat. The entries of position `i` are `bounds[i]..bounds[i + 1]`, the most probable first.
///
/// It is serialised to go from one process to another, in whatever form these choose; what is kept is a cache's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Its name: see [`Identity::sample_id`](super::Identity::sample_id).
    #[serde(with = "name")]
    pub id: SampleId,
    /// Where its text came from.
    #[serde(with = "shared")]
    pub source: Arc<str>,
    /// What the teacher read.
    pub tokens: Vec<u32>,
    /// Where the entries of each position begin, and the end of the last.
    pub bounds: Vec<u32>,
    /// The ids of all entries.
    pub ids: Vec<u32>,
    /// The logarithms of their probabilities, `log p = logit - logsumexp`; of an entry that was drawn, of its weight.
    pub log_probs: Vec<f32>,
    /// For each position the logarithm of the mass that is not among its entries (of which those drawn do not count);
    /// minus infinity where there is none.
    pub tail: Vec<f32>,
    /// For each position the teacher's log-probability of the token that came; empty where the cache does not have it.
    pub label: Vec<f32>,
    /// For each position and each of the cache's temperatures `T`, `log Σ exp(log p / T)`.
    pub log_z: Vec<f32>,
    /// For each position, what was drawn; empty where nothing is.
    pub drawn: Vec<Drawn>,
}

/// The last entries of a position, where they are sampled: see [`sampling`](super::sampling).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Drawn {
    /// How many they are.
    pub count: u32,
    /// The logarithm of the weight that each has.
    pub log_tau: f32,
}

/// What a sample must have to be of a cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demands {
    pub(super) vocab_size: u32,
    pub(super) temperatures: usize,
    pub(super) label: bool,
    pub(super) sampled: bool,
}

impl Scored {
    /// How many distributions there are.
    pub fn num_positions(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }

    /// The bytes of its lists.
    pub fn bytes(&self) -> usize {
        let words = [&self.tokens, &self.bounds, &self.ids].map(Vec::len).iter().sum::<usize>();
        let floats = [&self.log_probs, &self.tail, &self.label, &self.log_z];
        let floats = floats.map(Vec::len).iter().sum::<usize>();
        4 * (words + floats) + self.drawn.len() * size_of::<Drawn>()
    }

    /// The entries of a position: ids and log-probabilities.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn entries(&self, position: usize) -> (&[u32], &[f32]) {
        let range = self.bounds[position] as usize..self.bounds[position + 1] as usize;
        (&self.ids[range.clone()], &self.log_probs[range])
    }

    /// Whether it makes sense. `seen` is scratch: it grows to the vocabulary.
    pub(super) fn check(
        &self,
        demands: Demands,
        seen: &mut Vec<u32>,
    ) -> Result<(), (Option<usize>, SampleFault)> {
        let positions = self.num_positions();
        let per = |wanted: bool| if wanted { positions } else { 0 };
        let entries = self.bounds.last().map_or(0, |end| *end as usize);
        for (what, expected, found) in [
            ("bounds", positions + 1, self.bounds.len()),
            ("ids", entries, self.ids.len()),
            ("log-probabilities", entries, self.log_probs.len()),
            ("tail masses", positions, self.tail.len()),
            ("label log-probabilities", per(demands.label), self.label.len()),
            ("log-partitions", demands.temperatures * positions, self.log_z.len()),
            ("counts of drawn entries", per(demands.sampled), self.drawn.len()),
        ] {
            if expected != found {
                return Err((None, SampleFault::Shape { what, expected, found }));
            }
        }
        if self.tokens.is_empty() || self.bounds[0] != 0 {
            let (what, expected, found) = ("tokens", 1, self.tokens.len());
            return Err((None, SampleFault::Shape { what, expected, found }));
        }
        let vocab_size = demands.vocab_size;
        if let Some(at) = self.tokens.iter().position(|id| *id >= vocab_size) {
            let id = self.tokens[at];
            return Err((Some(at), SampleFault::IdOutOfRange { id, vocab_size }));
        }
        seen.clear();
        seen.resize(vocab_size as usize, 0);
        for position in 0..positions {
            self.check_position(position, vocab_size, seen)
                .map_err(|fault| (Some(position), fault))?;
        }
        let fine = |log: &f32| *log <= 1e-4;
        if let Some(at) = self.label.iter().position(|log| !fine(log)) {
            let log_prob = self.label[at];
            return Err((Some(at), SampleFault::NotALogarithm { what: "label", log_prob }));
        }
        if let Some(at) = self.log_z.iter().position(|log| !(-1e-3..=32.0).contains(log)) {
            let log_prob = self.log_z[at];
            let position = at / demands.temperatures.max(1);
            return Err((
                Some(position),
                SampleFault::NotALogarithm { what: "partition", log_prob },
            ));
        }
        Ok(())
    }

    fn check_position(
        &self,
        position: usize,
        vocab_size: u32,
        seen: &mut [u32],
    ) -> Result<(), SampleFault> {
        let (start, end) = (self.bounds[position], self.bounds[position + 1]);
        if start >= end {
            return Err(SampleFault::Shape { what: "entries", expected: 1, found: 0 });
        }
        if end as usize > self.ids.len() {
            let (expected, found) = (self.ids.len(), end as usize);
            return Err(SampleFault::Shape { what: "entries", expected, found });
        }
        let (ids, log_probs) = self.entries(position);
        let stamp = u32::try_from(position + 1).unwrap_or(u32::MAX);
        for id in ids {
            let Some(place) = seen.get_mut(*id as usize) else {
                return Err(SampleFault::IdOutOfRange { id: *id, vocab_size });
            };
            if std::mem::replace(place, stamp) == stamp {
                return Err(SampleFault::Twice { id: *id });
            }
        }
        if let Some(log_prob) = log_probs.iter().find(|log| !(log.is_finite() && **log <= 1e-4)) {
            return Err(SampleFault::NotALogarithm { what: "entry", log_prob: *log_prob });
        }
        if let Some(rank) = log_probs.windows(2).position(|pair| pair[0] < pair[1]) {
            let (before, after) = (log_probs[rank], log_probs[rank + 1]);
            return Err(SampleFault::NotDescending { rank: rank + 1, before, after });
        }
        let drawn = self.drawn.get(position).copied().unwrap_or_default();
        let Some(head) = log_probs.len().checked_sub(drawn.count as usize) else {
            let (expected, found) = (log_probs.len(), drawn.count as usize);
            return Err(SampleFault::Shape { what: "drawn entries", expected, found });
        };
        let tail = self.tail[position];
        if !(tail <= 1e-4) {
            return Err(SampleFault::NotALogarithm { what: "tail mass", log_prob: tail });
        }
        let mass = log_probs[..head].iter().map(|log| f64::from(*log).exp()).sum::<f64>()
            + f64::from(tail).exp();
        if (mass - 1.0).abs() > 2e-3 { Err(SampleFault::Mass { mass }) } else { Ok(()) }
    }
}

/// A name as its bytes.
mod name {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::shard::SampleId;

    pub(super) fn serialize<S: Serializer>(
        id: &SampleId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        id.0.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SampleId, D::Error> {
        Deserialize::deserialize(deserializer).map(SampleId)
    }
}

/// A text that is shared here, and is not there.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        text: &Arc<str>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}
