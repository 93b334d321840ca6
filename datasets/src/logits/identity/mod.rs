//! Whose logits they are.
//!
//! Two caches hold the same thing if their teacher, tokenizer, template and code are the same (`reference/distillation.md`,
//! 6.5). Each is kept so that a difference can be named, not only noticed. What cannot change a number, or only by
//! rounding (who ran it, on what, in which precision), is *provenance*: it is recorded, and differs without harm.

mod difference;
mod probe;
mod teacher;
mod tokenizer;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use difference::Difference;
pub use probe::probes;
pub use teacher::Teacher;
pub use tokenizer::TokenizerIdentity;

use super::scored::Demands;
use super::{LogitError, ValueCode};
use crate::shard::SampleId;
use crate::store::{Digest, Hasher, digest_bytes};
use difference::{Differences, compare_texts};

/// Whose logits a cache holds, of what, and in which code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The model.
    pub teacher: Teacher,
    /// What its ids mean.
    pub tokenizer: TokenizerIdentity,
    /// The text of the chat template; empty where there is none.
    pub template: String,
    /// How samples begin and end, and what the teacher sees of them, as text: `bos, no eos, context 4096`.
    pub context: String,
    /// Ids are below it: what the teacher's head has beyond the tokenizer is masked, and has no probability.
    pub vocab_size: u32,
    /// The code of the values.
    pub values: ValueCode,
    /// Whether entries are sampled.
    pub sampled: bool,
    /// Whether the log-probability of the token that came is stored.
    pub label: bool,
    /// The temperatures, above 1, whose log-partition is stored beside the one at 1, which needs no room.
    pub temperatures: Vec<f64>,
    /// What is not identity: revision, kernels, precision, versions, device.
    pub provenance: BTreeMap<String, String>,
}

impl Identity {
    /// What is expected of `self` and differs in `found`; nothing, if what one holds is as good as what the other does.
    pub fn differences(&self, found: &Self) -> Vec<Difference> {
        let mut all = Differences::default();
        self.teacher.compare(&found.teacher, &mut all);
        self.tokenizer.compare(&found.tokenizer, &mut all);
        compare_texts("template", &self.template, &found.template, &mut all);
        all.compare("context", &self.context, &found.context);
        all.compare("vocab_size", &self.vocab_size, &found.vocab_size);
        all.compare("values", &self.values, &found.values);
        all.compare("sampled", &self.sampled, &found.sampled);
        all.compare("label", &self.label, &found.label);
        all.compare("temperatures", &self.temperatures, &found.temperatures);
        all.0
    }

    /// What was made another way, and is the same all the same.
    pub fn provenance_differences(&self, found: &Self) -> Vec<Difference> {
        let mut all = Differences::default();
        let none = "nothing".to_owned();
        let keys = self.provenance.keys().chain(found.provenance.keys());
        for key in keys.collect::<std::collections::BTreeSet<_>>() {
            let of = |identity: &Self| identity.provenance.get(key).unwrap_or(&none).clone();
            let (expected, found) = (of(self), of(found));
            if expected != found {
                all.push(&format!("provenance.{key}"), expected, found);
            }
        }
        self.tokenizer.compare_files(&found.tokenizer, &mut all);
        all.0
    }

    /// One digest of all that is identity.
    pub fn fingerprint(&self) -> Digest {
        let mut hasher = Hasher::new();
        for part in [self.teacher.fingerprint(), self.tokenizer.fingerprint()] {
            hasher.update(part.as_bytes());
        }
        let rest = (
            (&self.template, &self.context, self.vocab_size, self.values),
            (self.sampled, self.label, &self.temperatures),
        );
        hasher.update(canonical(&rest).as_bytes());
        hasher.digest()
    }

    /// The name of a sample: what the teacher reads, by which tokenizer, and what it sees of it.
    pub fn sample_id(&self, tokens: &[u32]) -> SampleId {
        self.names().of(tokens)
    }

    /// What names many samples: what they have in common is hashed once.
    pub fn names(&self) -> Names {
        let mut hasher = Hasher::new();
        hasher.update(self.tokenizer.fingerprint().as_bytes());
        hasher.update(digest_bytes(self.context.as_bytes()).as_bytes());
        Names(hasher)
    }

    /// Whether it can be.
    pub(super) fn check(&self) -> Result<(), LogitError> {
        let bad = |what, expected, found| Err(LogitError::BadIdentity { what, expected, found });
        if self.vocab_size == 0 || self.vocab_size > 1 << 24 {
            return bad("the vocabulary", "1 to 16,777,216 ids", self.vocab_size.to_string());
        }
        match self.temperatures.iter().find(|t| !(**t > 1.0 && t.is_finite())) {
            Some(t) => bad("a further temperature", "above 1", t.to_string()),
            None => Ok(()),
        }
    }

    pub(super) fn demands(&self) -> Demands {
        Demands {
            vocab_size: self.vocab_size,
            temperatures: self.temperatures.len(),
            label: self.label,
            sampled: self.sampled,
        }
    }
}

/// Names samples: see [`Identity::sample_id`].
#[derive(Clone)]
pub struct Names(Hasher);

impl Names {
    /// The name of a sample.
    pub fn of(&self, tokens: &[u32]) -> SampleId {
        let mut hasher = self.0.clone();
        for token in tokens {
            hasher.update(&token.to_le_bytes());
        }
        let digest = hasher.digest();
        let (half, _) = digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
        SampleId(*half)
    }
}

/// JSON with its keys in order: equal values have equal texts.
fn canonical<T: Serialize>(value: &T) -> String {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let map: BTreeMap<_, _> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
                Value::Object(map.into_iter().collect())
            }
            Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
            other => other,
        }
    }
    serde_json::to_value(value).map(sorted).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests;
