//! The head and its loss over tiles of the vocabulary, in host memory: no logits but those of a tile exist at a time.
//!
//! Pass 1 takes from each tile of `hidden · head` what a row's loss needs: its largest logit, its masses, its logits at the
//! known words and at the label. [`coefficients`](super::coefficients) makes of it what the gradient needs. Pass 2 makes the
//! tiles again, turns each into its gradient, and adds what that says of the hidden states and of the head. A third more
//! multiplications than chunks of tokens take (`reference/distillation.md`, 2.5), and the head's gradient is written once.

use burn::tensor::{Int, Tensor};
use rayon::prelude::*;

use super::coefficients::Coefficients;
use super::head::HeadGradients;
use super::objective::{LossSums, Objective};
use super::rows::argmax;
use super::seen::Row;
use super::sparse::Sparse;
use super::terms::{Terms, inverse};
use crate::host::{exp, give, hold, sum, take_ints, wide};

/// Bytes of a tile, unless there are very many tokens.
const TILE_BYTES: usize = 4 << 20;

/// Words of a tile.
fn tile_words(tokens: usize, vocab: usize) -> usize {
    (TILE_BYTES / 4 / tokens.max(1)).clamp(256, 8192).min(vocab)
}

impl Row {
    /// Pass 1.
    #[inline(always)]
    fn see(&mut self, z: &mut [f32], first: usize, inverse_tau: f32) {
        let (best, max) = argmax(z);
        if max > self.max {
            let shrink = |mass: f32, inverse_tau: f32| {
                if mass > 0.0 { mass * exp((self.max - max) * inverse_tau) } else { 0.0 }
            };
            self.rest = shrink(self.rest, inverse_tau);
            self.rest_plain = shrink(self.rest_plain, 1.0);
            (self.max, self.best) = (max, first + best);
        }
        if let Some(z) = self.label.and_then(|label| z.get(label.wrapping_sub(first))) {
            self.label_logit = *z;
        }
        for i in 0..self.order.len() {
            let (id, place) = self.order[i];
            if let Some(z) = z.get_mut(id.wrapping_sub(first)) {
                self.at_words[place] = std::mem::replace(z, f32::NEG_INFINITY);
            }
        }
        let max = self.max;
        self.rest += sum(z, |z| exp((z - max) * inverse_tau));
        if inverse_tau.to_bits() != 1.0f32.to_bits() {
            self.rest_plain += sum(z, |z| exp(z - max));
        }
    }

    /// Pass 2.
    #[inline(always)]
    fn turn(&self, z: &mut [f32], first: usize, inverse_tau: f32, scale: f32, ce: f32) {
        let Some(label) = self.label else { return z.fill(0.0) };
        let (max, of_tau, of_plain) = (self.max, self.of_tau, self.of_plain);
        if inverse_tau.to_bits() == 1.0f32.to_bits() {
            z.iter_mut().for_each(|z| *z = exp(*z - max) * (of_tau + of_plain));
        } else {
            z.iter_mut().for_each(|z| {
                *z = exp((*z - max) * inverse_tau) * of_tau + exp(*z - max) * of_plain;
            });
        }
        for (at, place) in self.within(first, z.len()) {
            z[at] += scale * self.s[place];
        }
        if let Some(z) = z.get_mut(label.wrapping_sub(first)) {
            *z -= scale * ce;
        }
    }
}

/// The sums of the losses and, if `scale` is given, that many times their gradients.
///
/// # Shapes
///
/// - hidden: `[tokens, hidden]`, head: `[hidden, vocab]`, labels: `[tokens]`
#[expect(clippy::cast_possible_truncation, reason = "f32 is the logits' type")]
pub(super) fn losses(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    sparse: Option<&Sparse>,
    labels: &Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<HeadGradients>) {
    let ([tokens, width], [_, vocab]) = (hidden.dims(), head.dims());
    let (terms, device) = (Terms::new(objective), hidden.device());
    let inverse_tau = sparse.map_or(1.0, |sparse| inverse(sparse.temperature));
    let labels = take_ints(labels.clone());
    let mut rows: Vec<Row> =
        labels.iter().enumerate().map(|(token, label)| Row::new(sparse, token, *label)).collect();
    let words = tile_words(tokens, vocab);
    let tiles = || (0..vocab).step_by(words).map(|first| (first, words.min(vocab - first)));
    let tile = |first: usize, len: usize| {
        let part = head.clone().narrow(1, first, len);
        (hidden.clone().matmul(part.clone()), part)
    };
    for (first, len) in tiles() {
        let mut z = hold(tile(first, len).0);
        rows.par_iter_mut().zip(z.par_chunks_mut(len)).for_each(|(row, z)| {
            wide(
                #[inline(always)]
                || row.see(z, first, inverse_tau),
            );
        });
    }
    let factor = scale.unwrap_or_default() as f32;
    let weighed: Vec<LossSums> = rows
        .par_iter_mut()
        .enumerate()
        .map_init(Coefficients::default, |coefficients, (token, row)| {
            let sparse = sparse.map(|sparse| (sparse, token));
            row.weigh(sparse, vocab, inverse_tau, &terms, factor, coefficients)
        })
        .collect();
    let mut sums = LossSums::default();
    weighed.iter().for_each(|row| sums.add(row));
    if scale.is_none() {
        return (sums, None);
    }
    let transposed = hidden.clone().transpose();
    let mut d_hidden: Option<Tensor<2>> = None;
    let mut d_head = vec![0.0f32; width * vocab];
    for (first, len) in tiles() {
        let (z, part) = tile(first, len);
        let mut z = hold(z);
        rows.par_iter().zip(z.par_chunks_mut(len)).for_each(|(row, z)| {
            wide(
                #[inline(always)]
                || row.turn(z, first, inverse_tau, factor, terms.cross_entropy),
            );
        });
        let gradient: Tensor<2> = z.tensor(&device);
        let of_head = hold(transposed.clone().matmul(gradient.clone()));
        d_head.par_chunks_mut(vocab).zip(of_head.par_chunks(len)).for_each(|(row, part)| {
            row[first..first + len].copy_from_slice(part);
        });
        let more = gradient.matmul(part.transpose());
        d_hidden = Some(match d_hidden {
            Some(sum) => sum + more,
            None => more,
        });
    }
    let gradients = d_hidden
        .map(|hidden| HeadGradients { hidden, head: give(d_head, [width, vocab], &device) });
    (sums, gradients)
}

#[cfg(test)]
mod tests {
    use super::super::divergence::Divergence;
    use super::super::head::chunked;
    use super::super::objective::Term;
    use super::super::sparse::Rest;
    use super::*;
    use crate::capture::capture;
    use crate::loss::Teacher;
    use crate::testing::{assert_close, random};

    #[test]
    fn tiles_and_chunks_have_the_same_losses_and_gradients() {
        // Three tiles, the last of them short.
        let (tokens, vocab) = (6, 20_000);
        assert_eq!(tile_words(tokens, vocab), 8192);
        let (hidden, head) = (random([tokens, 5], 1) * 2.0, random([5, vocab], 2) * 2.0);
        let (said, words) = (random([tokens, 3], 3) * 3.0, random([3, vocab], 4) * 2.0);
        let labels = [3i32, 19_999, -1, 8191, 8192, 0];
        let labels = Tensor::<1, Int>::from_ints(labels, &hidden.device());
        let known = capture(&said, &words, &labels, 40);
        let objective = |divergence, temperature| Objective {
            divergences: vec![Term { temperature, ..Term::new(divergence) }],
            cross_entropy: 0.4,
        };
        for (rest, divergence, temperature) in [
            (None, Divergence::ForwardKl, 1.0),
            (Some(Rest::Ghost), Divergence::ForwardKl, 1.0),
            (Some(Rest::Ghost), Divergence::ReverseKl, 2.0),
            (Some(Rest::Renormalise), Divergence::JensenShannon { beta: 0.5 }, 1.0),
            (Some(Rest::Subset), Divergence::LogitMse, 2.0),
            (Some(Rest::Sampled), Divergence::ForwardKl, 1.0),
        ] {
            let o = objective(divergence, temperature);
            let sparse = rest.map(|rest| Sparse { temperature, ..known.clone().sparse(rest) });
            let teacher = sparse.clone().map(Teacher::Sparse);
            let (sums, gradients) =
                chunked(&hidden, &head, teacher.as_ref(), &labels, &o, Some(0.1));
            let (found, found_gradients) =
                losses(&hidden, &head, sparse.as_ref(), &labels, &o, Some(0.1));
            assert_eq!((found.tokens, found.agreed), (sums.tokens, sums.agreed));
            for (a, b) in [
                (found.cross_entropy, sums.cross_entropy),
                (found.of(divergence), sums.of(divergence)),
                (found.teacher_cross_entropy, sums.teacher_cross_entropy),
            ] {
                assert!((a - b).abs() <= 1e-5 * b.abs(), "{rest:?} {divergence:?}: {a} {b}");
            }
            let (a, b) = (found_gradients.unwrap(), gradients.unwrap());
            assert_close(a.hidden, b.hidden, 2e-5);
            assert_close(a.head, b.head, 2e-5);
            assert_eq!(losses(&hidden, &head, sparse.as_ref(), &labels, &o, None).0, found);
        }
    }
}
