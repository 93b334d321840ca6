//! The head and its loss over tiles of the vocabulary, in a device's memory: the kernel pair of [`tiled`](super::tiled) in CubeCL.
//!
//! ```text
//! pass 1, a tile:   z = hidden · head[:, tile]     take the known words out, see the rest
//!                   K + 5 numbers a token to the host, K + 3 back: coefficients
//! pass 2, a tile:   z again     turned into its gradient     d_hidden += ∂z · headᵀ,  d_head[:, tile] = hiddenᵀ · ∂z
//! ```
//!
//! The products are the library's; of `[tokens, vocab]` there is one tile. Every sum has one order: a row's units each go
//! over every n-th word, then add up in a tree; a token's known words are one unit's, one after the other.

#[allow(clippy::float_cmp, reason = "of equal logits the one with the smaller id counts")]
mod kernels;

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::tensor::CubeTensor;
use rayon::prelude::*;

use self::kernels::{BEFORE, add_words, see_rest, take_words, turn};
use super::coefficients::Coefficients;
use super::head::HeadGradients;
use super::objective::{LossSums, Objective};
use super::seen::Row;
use super::sparse::Sparse;
use super::terms::{Terms, inverse};
use crate::cube::{self, TAKEN, cooked, cube_dim, raw, rows, tile_words, units};
use crate::host::{give, take, take_ints};

/// What the kernels are given of a micro-batch.
struct Given {
    ids: CubeTensor,
    labels: CubeTensor,
    inverse_tau: f32,
    is_plain: bool,
}

impl Given {
    fn see(&self, z: &CubeTensor, state: &CubeTensor, first: u32) {
        let (tokens, dtype) = (z.shape()[0], dtype_to_storage_type(z.dtype));
        let dim = cube_dim(z);
        take_words::launch(
            &z.client,
            units(tokens, dim),
            dim,
            z.clone().into_tensor_arg(),
            self.ids.clone().into_tensor_arg(),
            self.labels.clone().into_tensor_arg(),
            state.clone().into_tensor_arg(),
            first,
            dtype,
        );
        see_rest::launch(
            &z.client,
            rows(tokens),
            dim,
            z.clone().into_tensor_arg(),
            state.clone().into_tensor_arg(),
            first,
            self.inverse_tau,
            dim.x,
            self.is_plain,
            dtype,
        );
    }

    fn turn(&self, z: &CubeTensor, weights: &CubeTensor, s: &CubeTensor, first: u32, ce: f32) {
        let (tokens, dtype) = (z.shape()[0], dtype_to_storage_type(z.dtype));
        let dim = cube_dim(z);
        turn::launch(
            &z.client,
            rows(tokens),
            dim,
            z.clone().into_tensor_arg(),
            weights.clone().into_tensor_arg(),
            self.inverse_tau,
            self.is_plain,
            dtype,
        );
        add_words::launch(
            &z.client,
            units(tokens, dim),
            dim,
            z.clone().into_tensor_arg(),
            self.ids.clone().into_tensor_arg(),
            self.labels.clone().into_tensor_arg(),
            s.clone().into_tensor_arg(),
            first,
            ce,
            dtype,
        );
    }
}

/// The sums of the losses and, if `scale` is given, that many times their gradients.
///
/// # Shapes
///
/// - hidden: `[tokens, hidden]`, head: `[hidden, vocab]`, labels: `[tokens]`
#[expect(clippy::cast_possible_truncation, reason = "f32 is the logits' type; ids are u32")]
pub(super) fn losses(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    sparse: &Sparse,
    labels: &Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<HeadGradients>) {
    let ([tokens, width], [_, vocab]) = (hidden.dims(), head.dims());
    let (terms, device, k) = (Terms::new(objective), hidden.device(), sparse.k);
    let inverse_tau = inverse(sparse.temperature);
    let words = tile_words(tokens, vocab);
    let tiles = || (0..vocab).step_by(words).map(|first| (first, words.min(vocab - first)));
    let tile = |first: usize, len: usize| {
        let part = head.clone().narrow(1, first, len);
        (raw(hidden.clone().matmul(part.clone())), part)
    };
    let labels = take_ints(labels.clone());
    let given = Given {
        ids: cube::ids(sparse.ids.clone(), [tokens, k], &device),
        labels: cube::labels(&labels, &device),
        inverse_tau,
        is_plain: inverse_tau.to_bits() == 1.0f32.to_bits(),
    };
    let mut state = vec![0.0f32; tokens * (BEFORE + k)];
    state.iter_mut().step_by(BEFORE + k).for_each(|max| *max = TAKEN);
    let state = raw(give(state, [tokens, BEFORE + k], &device));
    for (first, len) in tiles() {
        given.see(&tile(first, len).0, &state, first as u32);
    }
    let state = take(cooked(state));
    let factor = scale.unwrap_or_default() as f32;
    let seen: Vec<(Row, LossSums)> = state
        .par_chunks(BEFORE + k)
        .zip(&labels)
        .enumerate()
        .map_init(Coefficients::default, |coefficients, (token, (numbers, label))| {
            let mut row = seen(sparse, token, *label, numbers, inverse_tau);
            let of = Some((sparse, token));
            let sums = row.weigh(of, vocab, inverse_tau, &terms, factor, coefficients);
            (row, sums)
        })
        .collect();
    let mut sums = LossSums::default();
    seen.iter().for_each(|(_, row)| sums.add(row));
    if scale.is_none() {
        return (sums, None);
    }
    let (mut weights, mut s) = (Vec::with_capacity(tokens * 3), vec![0.0f32; tokens * k]);
    for ((row, _), s) in seen.iter().zip(s.chunks_mut(k)) {
        weights.extend([row.max, row.of_tau, row.of_plain]);
        s.iter_mut().zip(&row.s).for_each(|(s, of)| *s = factor * of);
    }
    let weights = raw(give(weights, [tokens, 3], &device));
    let s = raw(give(s, [tokens, k], &device));
    let transposed = hidden.clone().transpose();
    let mut d_hidden = Tensor::<2>::zeros([tokens, width], (&device, DType::F32));
    let mut d_head = Tensor::<2>::zeros([width, vocab], (&device, DType::F32));
    for (first, len) in tiles() {
        let (z, part) = tile(first, len);
        given.turn(&z, &weights, &s, first as u32, factor * terms.cross_entropy);
        let gradient = cooked(z);
        let of_head = transposed.clone().matmul(gradient.clone()).cast(DType::F32);
        d_head = d_head.slice_assign([0..width, first..first + len], of_head);
        d_hidden = d_hidden + gradient.matmul(part.transpose()).cast(DType::F32);
    }
    (sums, Some(HeadGradients { hidden: d_hidden.cast(hidden.dtype()), head: d_head }))
}

/// What the host's pass 1 would have seen of a token, of the numbers that the device's left.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an id, exact in f32")]
fn seen(sparse: &Sparse, token: usize, label: i64, numbers: &[f32], inverse_tau: f32) -> Row {
    let mut row = Row::new(Some(sparse), token, label);
    let (before, at_words) = numbers.split_at(BEFORE);
    let known = row.at_words.len();
    row.at_words.copy_from_slice(&at_words[..known]);
    (row.max, row.best, row.label_logit) = (before[0], before[3] as usize, before[4]);
    for (id, place) in &row.order {
        let z = row.at_words[*place];
        if z > row.max || (z >= row.max && *id < row.best) {
            (row.max, row.best) = (z, *id);
        }
    }
    let shrink = |mass: f32, by: f32| mass * ((before[0] - row.max) * by).exp();
    (row.rest, row.rest_plain) = (shrink(before[1], inverse_tau), shrink(before[2], 1.0));
    row
}
