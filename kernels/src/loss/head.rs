//! The head and its loss as one operation: of `[tokens, vocab]` no more than a chunk of tokens, or a tile of words, exists
//! at a time.

use burn::tensor::{DType, Int, Tensor};
use rayon::prelude::*;

use super::objective::{LossSums, Objective};
use super::rows::{self, Said};
use super::sparse::Sparse;
use super::tiled;
use crate::host::{fits, hold};

/// What the loss needs of the teacher.
#[derive(Clone, Debug)]
pub enum Teacher {
    /// All it says: its hidden states, of which its head makes logits.
    Dense {
        /// After the final norm: `[tokens, hidden]`.
        hidden: Tensor<2>,
        /// The teacher's head: `[hidden, vocab]`.
        head: Tensor<2>,
    },
    /// A few words a token.
    Sparse(Sparse),
}

impl Teacher {
    /// Of a chunk of tokens, as the loss takes it.
    fn said(&self, start: usize, len: usize) -> Said<'_> {
        match self {
            Self::Dense { hidden, head } => {
                Said::Logits(hidden.clone().narrow(0, start, len).matmul(head.clone()))
            }
            Self::Sparse(sparse) => Said::Words(sparse, start),
        }
    }
}

/// The gradients that leave the head.
#[derive(Clone, Debug)]
pub struct HeadGradients {
    /// Of the hidden states: `[tokens, hidden]`.
    pub hidden: Tensor<2>,
    /// Of the head's weight: `[hidden, vocab]`, f32.
    pub head: Tensor<2>,
}

/// Bytes of a tile of the head's gradient.
const TILE_BYTES: usize = 4 << 20;

/// Beyond so many words a sparse teacher's loss goes by tiles of words on the host: the head is multiplied by twice, and
/// there are no logits but those of a tile.
const MANY_WORDS: usize = 1 << 15;

/// Tokens a chunk, so that one copy of its logits takes some 32 MiB; on the host more, where that would be so few that
/// going over the head once a chunk takes longer than multiplying by it.
#[must_use]
pub fn chunk_tokens(vocab: usize, on_host: bool) -> usize {
    ((32 << 20) / 4 / vocab.max(1)).clamp(if on_host { 256 } else { 16 }, 4096)
}

/// The sums of the losses.
///
/// # Shapes
///
/// - hidden: `[tokens, hidden]`, head: `[hidden, vocab]`, labels: `[tokens]`
#[must_use]
pub fn head_loss(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    teacher: Option<&Teacher>,
    labels: &Tensor<1, Int>,
    objective: &Objective,
) -> LossSums {
    either(hidden, head, teacher, labels, objective, None).0
}

/// The sums of the losses, and `scale` times their gradients.
///
/// `scale` is one over the number of tokens of the whole step, so that gradients of micro-batches add.
///
/// # Shapes
///
/// - hidden: `[tokens, hidden]`, head: `[hidden, vocab]`, labels: `[tokens]`
/// - output: see [`HeadGradients`]
///
/// # Panics
///
/// If there is no token.
#[must_use]
pub fn head_loss_and_gradients(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    teacher: Option<&Teacher>,
    labels: &Tensor<1, Int>,
    objective: &Objective,
    scale: f64,
) -> (LossSums, HeadGradients) {
    let (sums, gradients) = either(hidden, head, teacher, labels, objective, Some(scale));
    (sums, gradients.expect("a scale was given, and there are tokens"))
}

fn either(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    teacher: Option<&Teacher>,
    labels: &Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<HeadGradients>) {
    let [_, vocab] = head.dims();
    match teacher {
        Some(Teacher::Sparse(sparse)) if fits(hidden) && fits(head) && vocab > MANY_WORDS => {
            tiled::losses(hidden, head, Some(sparse), labels, objective, scale)
        }
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        Some(Teacher::Sparse(sparse)) if crate::cube::holds(hidden) => {
            super::cube::losses(hidden, head, sparse, labels, objective, scale)
        }
        _ => chunked(hidden, head, teacher, labels, objective, scale),
    }
}

/// Chunk by chunk of tokens.
pub(super) fn chunked(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    teacher: Option<&Teacher>,
    labels: &Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<HeadGradients>) {
    let [tokens, _] = hidden.dims();
    let [_, vocab] = head.dims();
    let mut sums = LossSums::default();
    let mut hidden_gradients = Vec::new();
    let mut head_gradient: Option<Tensor<2>> = None;
    for (start, len) in chunks(tokens, vocab, fits(hidden)) {
        let states = hidden.clone().narrow(0, start, len);
        let student = states.clone().matmul(head.clone());
        let teacher = teacher.map_or(Said::Nothing, |teacher| teacher.said(start, len));
        let labels = labels.clone().narrow(0, start, len);
        let (chunk, gradient) = rows::losses(student, teacher, labels, objective, scale);
        sums.add(&chunk);
        let Some(gradient) = gradient else { continue };
        hidden_gradients.push(gradient.clone().matmul(head.clone().transpose()));
        head_gradient = Some(match head_gradient {
            Some(sum) => plus_product(sum, states.transpose(), gradient),
            None => states.transpose().matmul(gradient).cast(DType::F32),
        });
    }
    let gradients =
        head_gradient.map(|head| HeadGradients { hidden: Tensor::cat(hidden_gradients, 0), head });
    (sums, gradients)
}

/// `sum + a b`, where `sum` is as large as the head: on the host tile by tile, for there is to be no second one.
///
/// # Shapes
///
/// - sum, output: `[hidden, vocab]`, f32; a: `[hidden, tokens]`, b: `[tokens, vocab]`
fn plus_product(sum: Tensor<2>, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    if !fits(&a) || !fits(&b) {
        return sum + a.matmul(b).cast(DType::F32);
    }
    let ([hidden, vocab], device) = (sum.dims(), sum.device());
    let words = (TILE_BYTES / 4 / hidden.max(1)).clamp(256, 8192);
    let mut sum = hold(sum);
    for first in (0..vocab).step_by(words) {
        let len = words.min(vocab - first);
        let part = hold(a.clone().matmul(b.clone().narrow(1, first, len)));
        sum.par_chunks_mut(vocab).zip(part.par_chunks(len)).for_each(|(sum, part)| {
            sum[first..first + len].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        });
    }
    sum.tensor(&device)
}

/// `(start, length)` of each chunk.
fn chunks(tokens: usize, vocab: usize, on_host: bool) -> impl Iterator<Item = (usize, usize)> {
    let size = chunk_tokens(vocab, on_host);
    (0..tokens).step_by(size).map(move |start| (start, size.min(tokens - start)))
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::log_softmax;

    use super::*;
    use crate::testing::{assert_close, autodiff, random};

    /// Dense, and differentiated by the machine.
    #[test]
    fn chunks_add_up_to_the_dense_loss_and_its_gradients() {
        // So many words that the floor counts.
        let vocab = 600_000;
        let three = |len, on_host| chunks(len, vocab, on_host).collect::<Vec<_>>();
        assert_eq!(three(40, false), [(0, 16), (16, 16), (32, 8)]);
        assert_eq!(three(600, true), [(0, 256), (256, 256), (512, 88)]);
        let vocab = 300;
        let tokens = chunk_tokens(vocab, true) + 5;
        let (hidden, head) = (random([tokens, 4], 1) * 3.0, random([4, vocab], 2) * 2.0);
        let (states, words) = (random([tokens, 3], 3) * 3.0, random([3, vocab], 4));
        let teacher = Teacher::Dense { hidden: states.clone(), head: words.clone() };
        let labels: Vec<i64> = (0..tokens as i64).map(|i| i * 7 % vocab as i64).collect();
        let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &hidden.device());
        let objective = Objective::mixed(1.0, 1.0, 0.5);
        let scale = 1.0 / tokens as f64;
        let (sums, gradients) =
            head_loss_and_gradients(&hidden, &head, Some(&teacher), &labels, &objective, scale);
        let forward = head_loss(&hidden, &head, Some(&teacher), &labels, &objective);
        assert!((forward.forward_kl - sums.forward_kl).abs() < 1e-6 * sums.forward_kl.abs());

        let (hidden, head) = (autodiff(hidden), autodiff(head));
        let log_q = log_softmax(hidden.clone().matmul(head.clone()), 1);
        let log_p = log_softmax(states.matmul(words), 1);
        let log_p = Tensor::<2>::from_inner(log_p);
        let kl = (log_p.clone().exp() * (log_p - log_q.clone())).sum();
        let labels = Tensor::<1, Int>::from_inner(labels).unsqueeze_dim(1);
        let ce = -log_q.gather(1, labels).sum();
        let found = (sums.forward_kl, sums.cross_entropy);
        let dense: (f32, f32) = (kl.clone().into_scalar(), ce.clone().into_scalar());
        assert!((found.0 - f64::from(dense.0)).abs() < 1e-4 * found.0, "{found:?} {dense:?}");
        assert!((found.1 - f64::from(dense.1)).abs() < 1e-4 * found.1, "{found:?} {dense:?}");
        let grads = ((kl + ce * 0.5) * scale).backward();
        assert_close(gradients.hidden, hidden.grad(&grads).unwrap(), 2e-5);
        assert_close(gradients.head, head.grad(&grads).unwrap(), 2e-5);
    }
}
