//! A teacher that needs no tensor: rows of log-probabilities that look like a language model's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Identity, Profile, Scored, Teacher as Model, TokenizerIdentity, sampling};
use crate::random::{ChaCha8Rng, below, normal, stream, uniform};
use crate::shard::SampleId;
use crate::store::digest_bytes;

/// Distributions of a vocabulary whose ids are sorted by how common they are.
///
/// The logit of id `i` at a position is that of Zipf's law, `-ln(i + 3)`; for some hundred ids that suit the topic and some
/// dozens that suit the place, more; and normal noise everywhere, which is what makes tails heavy. It all is scaled by a
/// sharpness that differs by position, so that some tokens are nearly certain and some wide open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Teacher {
    pub(super) vocab_size: u32,
    pub(super) seed: u64,
}

impl Teacher {
    /// The log-probabilities of all ids at a position.
    #[expect(clippy::cast_possible_truncation, reason = "single precision")]
    pub(super) fn row(&self, position: u64) -> Vec<f32> {
        let vocab = u64::from(self.vocab_size);
        let mut place = stream(self.seed, "teacher", 1, position);
        let mut noise = crate::random::mix(self.seed ^ crate::random::mix(position));
        let mut logits: Vec<f64> = (0..self.vocab_size)
            .map(|id| {
                noise = crate::random::mix(noise);
                // A sum of four bytes is near enough to a normal number, of variance 1.
                let sum: u32 = noise.to_le_bytes()[..4].iter().map(|b| u32::from(*b)).sum();
                let normal = (f64::from(sum) - 510.0) / 147.8;
                -f64::from(id + 3).ln() + 0.7 * normal
            })
            .collect();
        let topic = stream(self.seed, "topic", 0, 0);
        for (mut rng, count, lift) in [(topic, 300, 2.0), (place.clone(), 60, 3.5)] {
            let ids: BTreeSet<u64> =
                (0..count.min(vocab / 8)).map(|_| Self::common(&mut rng, vocab)).collect();
            for id in ids {
                logits[usize::try_from(id).unwrap()] += lift + normal(&mut rng);
            }
        }
        uniform(&mut place);
        let favourite = Self::common(&mut place, vocab);
        logits[usize::try_from(favourite).unwrap()] += 4.0 + 3.0 * uniform(&mut place);
        let sharpness = 1.0 + 0.5 * uniform(&mut place);
        let most = logits.iter().fold(f64::MIN, |a, b| a.max(*b));
        let sum: f64 = logits.iter().map(|x| (sharpness * (x - most)).exp()).sum();
        logits.iter().map(|x| (sharpness * (x - most) - sum.ln()) as f32).collect()
    }

    /// An id, common ones more often.
    fn common(rng: &mut ChaCha8Rng, vocab: u64) -> u64 {
        let end = (vocab as f64).powf(0.35 + 0.65 * uniform(rng));
        below(rng, (end as u64).clamp(1, vocab))
    }

    /// A sample of so many tokens, with the `k` most probable entries of each position, and label and log-partitions if the
    /// identity has them.
    #[expect(clippy::cast_possible_truncation, reason = "single precision")]
    pub(super) fn sample(
        &self,
        identity: &Identity,
        tokens: u32,
        k: usize,
        source: &str,
    ) -> Scored {
        let mut rng = stream(self.seed, "tokens", 0, 0);
        let vocab = u64::from(self.vocab_size);
        let tokens: Vec<u32> =
            (0..tokens).map(|_| u32::try_from(Self::common(&mut rng, vocab)).unwrap()).collect();
        let mut scored = Scored {
            id: identity.sample_id(&tokens),
            source: Arc::from(source),
            bounds: vec![0],
            ids: vec![],
            log_probs: vec![],
            tail: vec![],
            label: vec![],
            log_z: vec![],
            drawn: vec![],
            tokens,
        };
        for position in 0..scored.num_positions() {
            let row = self.row(position as u64);
            if identity.sampled {
                let k = u32::try_from(k).unwrap();
                let kept = sampling::sample(&row, k, scored.id, position as u64);
                scored.ids.extend(kept.ids);
                scored.log_probs.extend(kept.log_weights);
                scored.tail.push(kept.tail);
                scored.drawn.push(kept.drawn);
            } else {
                let (ids, log_probs, rest) = top(&row, k);
                scored.ids.extend(ids);
                scored.log_probs.extend(log_probs);
                scored.tail.push(rest.ln() as f32);
            }
            scored.bounds.push(u32::try_from(scored.ids.len()).unwrap());
            if identity.label {
                scored.label.push(row[scored.tokens[position + 1] as usize]);
            }
            for temperature in &identity.temperatures {
                let z: f64 = row.iter().map(|log| (f64::from(*log) / temperature).exp()).sum();
                scored.log_z.push(z.ln() as f32);
            }
        }
        scored
    }
}

/// The `k` most probable entries of a row, and the mass of the others.
pub(super) fn top(row: &[f32], k: usize) -> (Vec<u32>, Vec<f32>, f64) {
    let mut order: Vec<u32> = (0..u32::try_from(row.len()).unwrap()).collect();
    let by = |a: &u32, b: &u32| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b));
    let k = k.min(order.len());
    if k < order.len() {
        order.select_nth_unstable_by(k, by);
    }
    let rest = order[k..].iter().map(|id| f64::from(row[*id as usize]).exp()).sum();
    order.truncate(k);
    order.sort_unstable_by(by);
    let log_probs = order.iter().map(|id| row[*id as usize]).collect();
    (order, log_probs, rest)
}

/// An identity of a vocabulary, in the code of a profile.
pub(super) fn identity(vocab_size: u32, profile: &Profile) -> Identity {
    let mut teacher = Model::new(r#"{"hidden_size": 64, "rope_theta": 500000.0}"#).unwrap();
    teacher.add_tensor("lm_head.weight", "BF16", &[u64::from(vocab_size), 64], digest_bytes(b"w"));
    let tokenizer = TokenizerIdentity {
        mapping: digest_bytes(b"mapping"),
        size: vocab_size,
        bos_id: Some(1),
        eos_id: None,
        tokens: vec![(0, "a".to_owned())],
        probes: vec!["1 2 3".to_owned()],
        file: None,
    };
    Identity {
        teacher,
        tokenizer,
        template: String::new(),
        context: "bos, context 4096".to_owned(),
        vocab_size,
        values: profile.values,
        sampled: profile.is_sampled(),
        label: false,
        temperatures: vec![],
        provenance: BTreeMap::new(),
    }
}

/// Samples of a small vocabulary, of two sources, in the profile's kind.
pub(super) fn samples(identity: &Identity, profile: &Profile, count: u64) -> Vec<Scored> {
    let k = profile.most() as usize;
    (0..count)
        .map(|seed| {
            let teacher = Teacher { vocab_size: identity.vocab_size, seed };
            let tokens = 2 + u32::try_from(seed * 7 % 23).unwrap();
            teacher.sample(identity, tokens, k, if seed % 3 == 0 { "web" } else { "books" })
        })
        .collect()
}

/// A name that no sample has.
pub(super) fn stranger() -> SampleId {
    SampleId([255; 16])
}
