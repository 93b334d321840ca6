//! Whose sums they are: scores of another model must not be cut by.

use datasets::store::{Digest, Hasher};
use kernels::host::take;

use crate::model::Decoder;
use crate::model::parameters::Weight;

/// Of what was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The model's tensors: names, shapes and values.
    pub teacher: Digest,
    /// The tokenizer, as token shards name it.
    pub tokenizer: Digest,
}

impl Fingerprint {
    /// Of a model, wherever it was read from, in the type that it has.
    #[must_use]
    pub fn of(teacher: &Decoder, tokenizer: Digest) -> Self {
        let mut hasher = Hasher::new();
        for (name, weight) in teacher.parameters.named() {
            hasher.update(format!("{name} {:?}\n", weight.stored_dims()).as_bytes());
            let values = match weight {
                Weight::Vector(t) => take(t),
                Weight::Table(t) | Weight::Matrix(t) => take(t),
            };
            let mut bytes = Vec::with_capacity(1 << 16);
            for part in values.chunks(1 << 14) {
                bytes.clear();
                part.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
                hasher.update(&bytes);
            }
        }
        Self { teacher: hasher.digest(), tokenizer }
    }
}
