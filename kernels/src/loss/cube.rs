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

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::{DType, Int, TensorData};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use rayon::prelude::*;

use super::coefficients::Coefficients;
use super::head::HeadGradients;
use super::objective::{LossSums, Objective};
use super::seen::Row;
use super::sparse::{NO_WORD, Sparse};
use super::terms::{Terms, inverse};
use crate::cube::{cooked, cube_dim, raw, raw_ints, rows, units};
use crate::host::{give, take, take_ints};

/// A tensor, whose name `cubecl` has for its own.
type Matrix = burn::tensor::Tensor<2>;

/// Bytes of a tile in f32, unless there are very many tokens.
const TILE_BYTES: usize = 128 << 20;
/// In the place of a known word: no logit is as small, and it is a number, which WGSL asks for.
const TAKEN: f32 = -3.0e38;
/// Numbers of a token before its known words: the largest of the rest, its two masses, its place, the label's logit.
const BEFORE: usize = 5;

/// Words of a tile.
fn tile_words(tokens: usize, vocab: usize) -> usize {
    (TILE_BYTES / 4 / tokens.max(1)).clamp(1024, 16_384).min(vocab)
}

/// Pass 1, a unit a token: its known words go from the tile into `state`.
///
/// # Shapes
///
/// - z: `[tokens, len]`, ids: `[tokens, k]`, labels: `[tokens, 1]`, state: `[tokens, BEFORE + k]`
#[cube(launch)]
fn take_words<F: Float>(
    z: &mut Tensor<F>,
    ids: &Tensor<u32>,
    labels: &Tensor<u32>,
    state: &mut Tensor<f32>,
    first: u32,
    #[define(F)] _dtype: ElemType,
) {
    let token = ABSOLUTE_POS as usize;
    if token >= z.shape(0) {
        terminate!();
    }
    let len = z.shape(1);
    let k = ids.shape(1);
    let begin = first as usize;
    let row = token * len;
    let at = token * state.shape(1);
    let label = labels[token] as usize;
    if label >= begin && label < begin + len {
        state[at + 4] = f32::cast_from(z[row + label - begin]);
    }
    for i in 0..k {
        let id = ids[token * k + i] as usize;
        if id >= begin && id < begin + len {
            state[at + BEFORE + i] = f32::cast_from(z[row + id - begin]);
            z[row + id - begin] = F::new(TAKEN);
        }
    }
}

/// Pass 1, a cube a token: the largest of the rest and its masses, added to `state`.
///
/// # Shapes
///
/// - z: `[tokens, len]`, state: `[tokens, BEFORE + k]`
#[cube(launch)]
fn see_rest<F: Float>(
    z: &Tensor<F>,
    state: &mut Tensor<f32>,
    first: u32,
    inverse_tau: f32,
    #[comptime] units: u32,
    #[comptime] is_plain: bool,
    #[define(F)] _dtype: ElemType,
) {
    let token = CUBE_POS as usize;
    if token >= z.shape(0) {
        terminate!();
    }
    let len = z.shape(1);
    let row = token * len;
    let unit = UNIT_POS_X as usize;
    let count = CUBE_DIM_X as usize;
    let mut maxes = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let mut rests = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let mut plains = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let mut places = Shared::<[u32]>::new_slice(comptime!(units as usize));
    let mut largest = f32::new(TAKEN);
    let mut rest = f32::new(0.0);
    let mut plain = f32::new(0.0);
    let mut place = first;
    let mut j = UNIT_POS_X as usize;
    while j < len {
        let x = f32::cast_from(z[row + j]);
        // What was taken is not part of the rest.
        if x > f32::new(-2.9e38) {
            if x > largest {
                rest = rest * ((largest - x) * inverse_tau).exp() + f32::new(1.0);
                if comptime!(!is_plain) {
                    plain = plain * (largest - x).exp() + f32::new(1.0);
                }
                largest = x;
                place = first + u32::cast_from(j);
            } else {
                rest += ((x - largest) * inverse_tau).exp();
                if comptime!(!is_plain) {
                    plain += (x - largest).exp();
                }
            }
        }
        j += count;
    }
    maxes[unit] = largest;
    rests[unit] = rest;
    plains[unit] = plain;
    places[unit] = place;
    sync_cube();
    let mut half = count / 2;
    while half > 0 {
        if unit < half {
            let a = maxes[unit];
            let b = maxes[unit + half];
            let mut larger = a;
            if b > a {
                larger = b;
            }
            let of_a = ((a - larger) * inverse_tau).exp();
            let of_b = ((b - larger) * inverse_tau).exp();
            rests[unit] = rests[unit] * of_a + rests[unit + half] * of_b;
            if comptime!(!is_plain) {
                let of_a = (a - larger).exp();
                let of_b = (b - larger).exp();
                plains[unit] = plains[unit] * of_a + plains[unit + half] * of_b;
            }
            if b > a || (b == a && places[unit + half] < places[unit]) {
                places[unit] = places[unit + half];
            }
            maxes[unit] = larger;
        }
        sync_cube();
        half /= 2;
    }
    if unit == 0 {
        let at = token * state.shape(1);
        let a = state[at];
        let b = maxes[0];
        let mut larger = a;
        if b > a {
            larger = b;
        }
        let of_a = ((a - larger) * inverse_tau).exp();
        let of_b = ((b - larger) * inverse_tau).exp();
        state[at + 1] = state[at + 1] * of_a + rests[0] * of_b;
        if comptime!(!is_plain) {
            let of_a = (a - larger).exp();
            let of_b = (b - larger).exp();
            state[at + 2] = state[at + 2] * of_a + plains[0] * of_b;
        }
        // Of equals the first tile's, which has the smaller id.
        if b > a {
            state[at + 3] = f32::cast_from(places[0]);
        }
        state[at] = larger;
    }
}

/// Pass 2, a cube a token: every logit's share of the masses, in its place.
///
/// # Shapes
///
/// - z: `[tokens, len]`, weights: `[tokens, 3]`: the largest of all, and what the masses at τ and at 1 are multiplied by
#[cube(launch)]
fn turn<F: Float>(
    z: &mut Tensor<F>,
    weights: &Tensor<f32>,
    inverse_tau: f32,
    #[comptime] is_plain: bool,
    #[define(F)] _dtype: ElemType,
) {
    let token = CUBE_POS as usize;
    if token >= z.shape(0) {
        terminate!();
    }
    let len = z.shape(1);
    let row = token * len;
    let count = CUBE_DIM_X as usize;
    let max = weights[token * 3];
    let of_tau = weights[token * 3 + 1];
    let of_plain = weights[token * 3 + 2];
    let mut j = UNIT_POS_X as usize;
    while j < len {
        let x = f32::cast_from(z[row + j]) - max;
        if comptime!(is_plain) {
            z[row + j] = F::cast_from(x.exp() * (of_tau + of_plain));
        } else {
            z[row + j] = F::cast_from((x * inverse_tau).exp() * of_tau + x.exp() * of_plain);
        }
        j += count;
    }
}

/// Pass 2, a unit a token: what its known words and its label have alone.
///
/// # Shapes
///
/// - z: `[tokens, len]`, ids: `[tokens, k]`, labels: `[tokens, 1]`, s: `[tokens, k]`
#[cube(launch)]
fn add_words<F: Float>(
    z: &mut Tensor<F>,
    ids: &Tensor<u32>,
    labels: &Tensor<u32>,
    s: &Tensor<f32>,
    first: u32,
    cross_entropy: f32,
    #[define(F)] _dtype: ElemType,
) {
    let token = ABSOLUTE_POS as usize;
    if token >= z.shape(0) {
        terminate!();
    }
    let len = z.shape(1);
    let k = ids.shape(1);
    let begin = first as usize;
    let row = token * len;
    for i in 0..k {
        let id = ids[token * k + i] as usize;
        if id >= begin && id < begin + len {
            let at = row + id - begin;
            z[at] = F::cast_from(f32::cast_from(z[at]) + s[token * k + i]);
        }
    }
    let label = labels[token] as usize;
    if label >= begin && label < begin + len {
        let at = row + label - begin;
        z[at] = F::cast_from(f32::cast_from(z[at]) - cross_entropy);
    }
}

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
    hidden: &Matrix,
    head: &Matrix,
    sparse: &Sparse,
    labels: &burn::tensor::Tensor<1, Int>,
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
    let ints = |values: Vec<u32>, columns: usize| {
        let data = TensorData::new(values, [tokens, columns]);
        raw_ints(burn::tensor::Tensor::from_data(data, (&device, DType::U32)))
    };
    let on_device = labels.iter().map(|label| u32::try_from(*label).unwrap_or(NO_WORD)).collect();
    let given = Given {
        ids: ints(sparse.ids.clone(), k),
        labels: ints(on_device, 1),
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
    let mut d_hidden = Matrix::zeros([tokens, width], (&device, DType::F32));
    let mut d_head = Matrix::zeros([width, vocab], (&device, DType::F32));
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
