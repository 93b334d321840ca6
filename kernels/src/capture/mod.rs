//! What a cache keeps of a teacher: at each token its K most probable words, and exactly how much all others have.
//!
//! The teacher's head is multiplied tile by tile, on the host ([`tiled`]) and on a device ([`cube`]), and of a tile no more
//! is kept than the running K largest logits, the running maximum and the running mass of what is not among them: nothing
//! as wide as the vocabulary exists.
//! The mass of the rest is a sum of its own and no difference from one, which would be noise where it is small.

#[cfg(any(feature = "cuda", feature = "wgpu"))]
#[allow(clippy::float_cmp, reason = "of equal logits the one with the smaller id counts")]
#[allow(clippy::too_many_lines, reason = "a kernel is one function")]
mod cube;
mod tiled;

use burn::tensor::{Int, Tensor};

use crate::host::{fits, hold, take_ints};
use crate::loss::{Rest, Sparse};
use tiled::{Row, see, tiled};

/// What is kept of some tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Captured {
    /// Words a token.
    pub k: usize,
    /// `[tokens][k]`, the most probable first, of equals the one with the smaller id.
    pub ids: Vec<u32>,
    /// `[tokens][k]`: ln of their probabilities.
    pub log_probs: Vec<f32>,
    /// `[tokens]`: ln of the mass of all other words, −∞ where there are none.
    pub rest: Vec<f32>,
    /// `[tokens]`: ln of the probability of the label, 0 where there is none.
    pub label_log_probs: Vec<f32>,
}

impl Captured {
    /// As the loss takes it.
    #[must_use]
    pub fn sparse(self, treatment: Rest) -> Sparse {
        let Self { k, ids, log_probs, rest, .. } = self;
        Sparse { k, ids, log_probs, rest, temperature: 1.0, treatment }
    }

    /// Of tokens whose tiles have all been seen.
    fn of(rows: impl Iterator<Item = Row>, k: usize) -> Self {
        let mut all = Self { k, ..Self::default() };
        for mut row in rows {
            let (top, rest, label) = row.end();
            all.ids.extend(top.iter().map(|(_, id)| *id));
            all.log_probs.extend(top.iter().map(|(log_p, _)| *log_p));
            all.rest.push(rest);
            all.label_log_probs.push(label);
        }
        all
    }
}

/// Beyond so many words the host goes by tiles of words, which leave the head where it is; below, by chunks of tokens.
const MANY_WORDS: usize = 1 << 14;
/// Bytes of the logits of a chunk, unless there are very many words: they stay in a cache.
const CHUNK_BYTES: usize = 4 << 20;

/// The `k` most probable words of each token; all of them, where the vocabulary has no more.
///
/// # Shapes
///
/// - hidden: `[tokens, hidden]`, head: `[hidden, vocab]`, labels: `[tokens]`, −1 where nothing is predicted
#[must_use]
pub fn capture(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    labels: &Tensor<1, Int>,
    k: usize,
) -> Captured {
    let [_, vocab] = head.dims();
    let k = k.clamp(1, vocab);
    let labels_here = take_ints(labels.clone());
    if fits(hidden) && fits(head) && vocab > MANY_WORDS {
        return tiled(hidden, head, &labels_here, k);
    }
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if k <= cube::MOST && crate::cube::holds(hidden) {
        return cube::capture(hidden, head, &labels_here, k);
    }
    chunked(hidden, head, &labels_here, k)
}

/// The host sees the logits of all words, a chunk of tokens at a time: of a device where the kernel does not keep as many.
fn chunked(hidden: &Tensor<2>, head: &Tensor<2>, labels: &[i64], k: usize) -> Captured {
    let [_, vocab] = head.dims();
    let mut rows: Vec<Row> = labels.iter().map(|label| Row::new(*label, k)).collect();
    let tokens = (CHUNK_BYTES / 4 / vocab).clamp(128, 4096);
    for (index, rows) in rows.chunks_mut(tokens).enumerate() {
        let states = hidden.clone().narrow(0, index * tokens, rows.len());
        see(rows, &mut hold(states.matmul(head.clone())), 0);
    }
    Captured::of(rows.into_iter(), k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::take;
    use crate::testing::random;

    #[test]
    fn the_words_the_rest_and_the_label_are_those_of_a_sort_in_f64() {
        // More words than a tile of so few tokens has.
        let (tokens, vocab) = (7, 9000);
        let (hidden, head) = (random([tokens, 5], 1) * 4.0, random([5, vocab], 2) * 4.0);
        let labels = [3i32, 8999, -1, 12, 8191, 8192, 0];
        let ids = Tensor::<1, Int>::from_ints(labels, &hidden.device());
        let z = take(hidden.clone().matmul(head.clone()));
        for k in [1, 17, 64, vocab, vocab + 1] {
            let by_chunks = capture(&hidden, &head, &ids, k);
            let k = k.min(vocab);
            let found = tiled(&hidden, &head, &labels.map(i64::from), k);
            assert_eq!((found.k, found.ids.len()), (k, tokens * k));
            for (token, z) in z.chunks(vocab).enumerate() {
                let mass: f64 = z.iter().map(|z| f64::from(*z).exp()).sum();
                let mut order: Vec<usize> = (0..vocab).collect();
                order.sort_by(|a, b| z[*b].total_cmp(&z[*a]).then(a.cmp(b)));
                let log_p = |id: usize| f64::from(z[id]) - mass.ln();
                let expected: Vec<u32> = order[..k].iter().map(|id| *id as u32).collect();
                // A tile's product may round otherwise than the whole; equal logits may then change places.
                for (what, found) in [("tiles", &found), ("chunks", &by_chunks)] {
                    let ids = &found.ids[token * k..(token + 1) * k];
                    let same = ids.iter().zip(&expected).filter(|(a, b)| a == b).count();
                    assert!(same * 100 >= k * 99, "{what}: {same} of {k}");
                    for (id, p) in ids.iter().zip(&found.log_probs[token * k..]) {
                        let off = (f64::from(*p) - log_p(*id as usize)).abs();
                        assert!(off < 2e-5, "{what}, word {id}: off by {off}");
                    }
                    let rest: f64 = order[k..].iter().map(|id| log_p(*id).exp()).sum();
                    let off = if k == vocab {
                        assert!(found.rest[token] == f32::NEG_INFINITY, "{what}");
                        0.0
                    } else {
                        (f64::from(found.rest[token]) - rest.ln()).abs()
                    };
                    assert!(off < 2e-5, "{what}: the rest is off by {off}");
                    let label = usize::try_from(labels[token]).map_or(0.0, log_p);
                    let off = (f64::from(found.label_log_probs[token]) - label).abs();
                    assert!(off < 2e-5, "{what}: the label is off by {off}");
                }
            }
        }
    }
}
