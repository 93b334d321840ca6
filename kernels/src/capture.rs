//! What a cache keeps of a teacher: at each token its K most probable words, and exactly how much all others have.
//!
//! On the host the teacher's head is multiplied tile by tile, and of a tile no more is kept than the running K largest
//! logits, the running maximum and the running mass of what is not among them: nothing as wide as the vocabulary exists.
//! The mass of the rest is a sum of its own and no difference from one, which would be noise where it is small.

use burn::tensor::DType::F32;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use rayon::prelude::*;

use crate::host::{LANES, exp, fits, max, sum, take, take_ints, wide};
use crate::loss::head::chunk_tokens;
use crate::loss::{Rest, Sparse};

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
}

/// Bytes of a tile, unless there are very many tokens.
const TILE_BYTES: usize = 4 << 20;

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
    let ([tokens, _], [_, vocab]) = (hidden.dims(), head.dims());
    let k = k.clamp(1, vocab);
    let labels_here = take_ints(labels.clone());
    if fits(hidden) && fits(head) {
        return tiled(hidden, head, &labels_here, k);
    }
    let mut all = Captured { k, ..Captured::default() };
    let size = chunk_tokens(vocab);
    for start in (0..tokens).step_by(size) {
        let len = size.min(tokens - start);
        let z = hidden.clone().narrow(0, start, len).matmul(head.clone());
        let more = tensors(z, labels.clone().narrow(0, start, len), k);
        all.ids.extend(more.ids);
        all.log_probs.extend(more.log_probs);
        all.rest.extend(more.rest);
        all.label_log_probs.extend(more.label_log_probs);
    }
    all
}

/// A token, while its tiles are seen.
struct Row {
    k: usize,
    max: f32,
    /// `Σ exp(z − max)` of what was seen and is not in `top`.
    rest: f32,
    /// The largest so far, as a heap with the smallest of them first.
    top: Vec<(f32, u32)>,
    label: Option<usize>,
    label_logit: f32,
}

/// Whether `a` is to be given up before `b`: the smaller logit, of equals the larger id.
#[inline(always)]
fn is_less(a: (f32, u32), b: (f32, u32)) -> bool {
    a.0 < b.0 || (a.0 <= b.0 && a.1 > b.1)
}

impl Row {
    #[inline(always)]
    fn see(&mut self, z: &mut [f32], first: usize) {
        if let Some(z) = self.label.and_then(|label| z.get(label.wrapping_sub(first))) {
            self.label_logit = *z;
        }
        let tile_max = max(z);
        if tile_max > self.max {
            self.rest *= if self.rest > 0.0 { exp(self.max - tile_max) } else { 0.0 };
            self.max = tile_max;
        }
        for (block, z) in z.chunks_mut(LANES).enumerate() {
            // Most blocks have nothing for the heap, and are passed over at once.
            if self.top.len() == self.k && max(z) <= self.top[0].0 {
                continue;
            }
            for (i, z) in z.iter_mut().enumerate() {
                let id = first + block * LANES + i;
                self.offer(z, u32::try_from(id).unwrap_or(u32::MAX));
            }
        }
        let max = self.max;
        self.rest += sum(z, |z| exp(z - max));
    }

    /// Takes a logit into the heap, out of its tile; what it displaces goes to the rest.
    fn offer(&mut self, z: &mut f32, id: u32) {
        if self.top.len() < self.k {
            self.top.push((std::mem::replace(z, f32::NEG_INFINITY), id));
            let mut at = self.top.len() - 1;
            while at > 0 && is_less(self.top[at], self.top[(at - 1) / 2]) {
                self.top.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
        } else if *z > self.top[0].0 {
            self.rest += exp(self.top[0].0 - self.max);
            self.top[0] = (std::mem::replace(z, f32::NEG_INFINITY), id);
            let mut at = 0;
            loop {
                let less = |a: usize, b: usize| {
                    if b < self.top.len() && is_less(self.top[b], self.top[a]) { b } else { a }
                };
                let least = less(less(at, 2 * at + 1), 2 * at + 2);
                if least == at {
                    return;
                }
                self.top.swap(at, least);
                at = least;
            }
        }
    }

    /// Its words in order, their ln, that of the rest, and that of the label.
    fn end(&mut self) -> (&[(f32, u32)], f32, f32) {
        self.top.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let here: f32 = self.top.iter().map(|(z, _)| exp(z - self.max)).sum();
        let log_mass = (here + self.rest).ln();
        let label = self.label.map_or(0.0, |_| self.label_logit - self.max - log_mass);
        let rest = self.rest.ln() - log_mass;
        let log_mass = self.max + log_mass;
        self.top.iter_mut().for_each(|(z, _)| *z -= log_mass);
        (self.top.as_slice(), rest, label)
    }
}

fn tiled(hidden: &Tensor<2>, head: &Tensor<2>, labels: &[i64], k: usize) -> Captured {
    let ([tokens, _], [_, vocab]) = (hidden.dims(), head.dims());
    let row = |label: &i64| Row {
        k,
        max: f32::NEG_INFINITY,
        rest: 0.0,
        top: Vec::with_capacity(k),
        label: usize::try_from(*label).ok(),
        label_logit: 0.0,
    };
    let mut rows: Vec<Row> = labels.iter().map(row).collect();
    let words = (TILE_BYTES / 4 / tokens.max(1)).clamp(256, 8192);
    for first in (0..vocab).step_by(words) {
        let len = words.min(vocab - first);
        let mut z = take(hidden.clone().matmul(head.clone().narrow(1, first, len)));
        rows.par_iter_mut().zip(z.par_chunks_mut(len)).for_each(|(row, z)| {
            wide(
                #[inline(always)]
                || row.see(z, first),
            );
        });
    }
    let mut all = Captured { k, ..Captured::default() };
    for row in &mut rows {
        let (top, rest, label) = row.end();
        all.ids.extend(top.iter().map(|(_, id)| *id));
        all.log_probs.extend(top.iter().map(|(log_p, _)| *log_p));
        all.rest.push(rest);
        all.label_log_probs.push(label);
    }
    all
}

/// The same as tensor operations, of a chunk of logits, for devices whose memory is not ours.
fn tensors(z: Tensor<2>, labels: Tensor<1, Int>, k: usize) -> Captured {
    let ([tokens, vocab], device) = (z.dims(), z.device());
    let z = z.cast(F32);
    let (top, ids) = z.clone().topk_with_indices(k, 1);
    let max = z.clone().max_dim(1);
    let masses = (z.clone() - max.clone()).exp();
    let taken = Tensor::<2>::zeros([tokens, vocab], (&device, F32)).scatter(
        1,
        ids.clone(),
        top.ones_like(),
        IndexingUpdateOp::Add,
    );
    let rest = masses.clone().mask_fill(taken.greater_elem(0.5), 0.0).sum_dim(1);
    let log_mass = masses.sum_dim(1).log();
    let at_label = labels.clone().clamp_min(0).unsqueeze_dim::<2>(1);
    let label = z.gather(1, at_label) - max.clone() - log_mass.clone();
    let predicted = labels.greater_equal_elem(0).float().cast(F32).unsqueeze_dim::<2>(1);
    let ids = take_ints(ids).into_iter().map(|id| u32::try_from(id).unwrap_or(u32::MAX));
    Captured {
        k,
        ids: ids.collect(),
        log_probs: take(top - max - log_mass.clone()),
        rest: if k == vocab {
            vec![f32::NEG_INFINITY; tokens]
        } else {
            take(rest.log() - log_mass)
        },
        label_log_probs: take(label * predicted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let found = capture(&hidden, &head, &ids, k);
            let on_device = tensors(hidden.clone().matmul(head.clone()), ids.clone(), k.min(vocab));
            let k = k.min(vocab);
            assert_eq!((found.k, found.ids.len()), (k, tokens * k));
            for (token, z) in z.chunks(vocab).enumerate() {
                let mass: f64 = z.iter().map(|z| f64::from(*z).exp()).sum();
                let mut order: Vec<usize> = (0..vocab).collect();
                order.sort_by(|a, b| z[*b].total_cmp(&z[*a]).then(a.cmp(b)));
                let log_p = |id: usize| f64::from(z[id]) - mass.ln();
                let expected: Vec<u32> = order[..k].iter().map(|id| *id as u32).collect();
                // A tile's product may round otherwise than the whole; equal logits may then change places.
                for (what, found) in [("host", &found), ("tensors", &on_device)] {
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
