//! The sparse form as tensor operations, for devices whose memory is not ours.
//!
//! What is as wide as the vocabulary stays on the device; K + 3 numbers a token come to the host, of which
//! [`coefficients`](super::coefficients) makes the K + 1 coefficients that go back.

use burn::tensor::DType::F32;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use super::coefficients::{Coefficients, Student};
use super::objective::{LossSums, Objective};
use super::sparse::Sparse;
use super::terms::{Terms, inverse};
use crate::host::{give, take, take_ints};

/// The sums of a chunk and, if `scale` is given, `scale · dL/dz`.
///
/// # Shapes
///
/// - student: `[tokens, vocab]`; labels: `[tokens]`, −1 where nothing is predicted; `first`: the chunk's place in `sparse`
/// - output: `[tokens, vocab]`
#[expect(clippy::cast_possible_truncation, reason = "f32 is the logits' type")]
pub(super) fn losses(
    student: Tensor<2>,
    sparse: &Sparse,
    first: usize,
    labels: Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<Tensor<2>>) {
    let ([tokens, vocab], device, dtype) = (student.dims(), student.device(), student.dtype());
    let (z, k) = (student.cast(F32), sparse.k);
    let mut ids = Vec::with_capacity(tokens * k);
    for token in first..first + tokens {
        let (known, _) = sparse.words(token);
        // After the last there stands the first again: it is taken out once, and nothing is added to it there.
        ids.extend((0..k).map(|i| i64::from(*known.get(i).unwrap_or(&known[0]))));
    }
    let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &device).reshape([tokens, k]);
    let max = z.clone().max_dim(1);
    let shifted = z.clone() - max.clone();
    let at_words = z.clone().gather(1, ids.clone());
    let taken = Tensor::<2>::zeros([tokens, vocab], (&device, F32)).scatter(
        1,
        ids.clone(),
        at_words.ones_like(),
        IndexingUpdateOp::Add,
    );
    let inverse_tau = inverse(sparse.temperature);
    let of_tau = (shifted.clone() * inverse_tau).exp();
    let of_plain = shifted.exp();
    let rest = of_tau.clone().mask_fill(taken.greater_elem(0.5), 0.0).sum_dim(1);
    let at_label = labels.clone().clamp_min(0).unsqueeze_dim::<2>(1);
    let masses = [of_tau.clone().sum_dim(1), of_plain.clone().sum_dim(1)];
    let best = take_ints(z.clone().argmax(1));
    let columns = vec![
        max,
        masses[0].clone(),
        masses[1].clone(),
        rest,
        z.gather(1, at_label.clone()),
        at_words,
    ];
    let numbers = take(Tensor::cat(columns, 1));
    let (terms, mut coefficients) = (Terms::new(objective), Coefficients::default());
    let mut total = LossSums::default();
    let (mut alpha, mut predicted) = (vec![0.0f32; tokens], vec![0.0f32; tokens]);
    let mut s = vec![0.0f32; tokens * k];
    for (i, label) in take_ints(labels).into_iter().enumerate() {
        let Ok(label) = usize::try_from(label) else { continue };
        let (known, _) = sparse.words(first + i);
        let row = &numbers[i * (5 + k)..(i + 1) * (5 + k)];
        let &[max, mass, plain, rest, label_logit] = &row[..5] else { continue };
        let student = Student {
            z: &row[5..5 + known.len()],
            max,
            lse: mass.ln(),
            rest_lse: if known.len() == vocab { f32::NEG_INFINITY } else { rest.ln() },
        };
        let best = usize::try_from(best[i]).ok();
        let mut sums = sparse.seen(first + i, label, best, plain.ln() - (label_logit - max));
        coefficients.of(sparse, first + i, student, &terms, &mut sums);
        total.add(&sums);
        (alpha[i], predicted[i]) = (coefficients.alpha, 1.0);
        s[i * k..i * k + known.len()].copy_from_slice(&coefficients.s);
    }
    let gradient = scale.map(|scale| {
        let column = |values: Vec<f32>| give(values, [tokens, 1], &device);
        let one_hot = at_label.equal(Tensor::arange(0..vocab as i64, &device).unsqueeze_dim(0));
        let [of_tau_mass, plain_mass] = masses;
        let ce = (of_plain / plain_mass - one_hot.float().cast(F32)) * terms.cross_entropy;
        let dense = of_tau / of_tau_mass * column(alpha) + ce * column(predicted);
        let s = give(s, [tokens, k], &device);
        (dense.scatter(1, ids, s, IndexingUpdateOp::Add) * scale as f32).cast(dtype)
    });
    (total, gradient)
}
