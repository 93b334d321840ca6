//! Capture over tiles of the vocabulary, in a device's memory: a CubeCL kernel.
//!
//! A cube has a token. Of a tile it takes the largest logit, and again, as long as one is larger than the smallest that is
//! kept: some `K (1 + ln tiles)` times in all, as the first tile fills the list and each later one has fewer for it. What is
//! left of the tile then goes to the rest. Of equals the one with the smaller id stays, as on the host.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use cubecl::prelude::*;

use super::{Captured, Row};
use crate::cube::{self, TAKEN, cooked, cube_dim, raw, rows, tile_words};
use crate::host::{give, take, take_ints};
use crate::loss::NO_WORD;

/// A tensor, whose name `cubecl` has for its own.
type Matrix = burn::tensor::Tensor<2>;

/// The most words a token that the kernel keeps: a cube's list has to fit into the 16 KiB that every device has.
pub(super) const MOST: usize = 1024;
/// Numbers of a token before its words: the mass of the rest, and the label's logit.
const BEFORE: usize = 2;

/// A cube a token.
///
/// # Shapes
///
/// - z: `[tokens, len]`, labels: `[tokens, 1]`, state: `[tokens, BEFORE + k]`, ids: `[tokens, k]`
#[cube(launch)]
fn see<F: Float>(
    z: &mut Tensor<F>,
    labels: &Tensor<u32>,
    state: &mut Tensor<f32>,
    ids: &mut Tensor<u32>,
    first: u32,
    #[comptime] k: u32,
    #[comptime] units: u32,
    #[define(F)] _dtype: ElemType,
) {
    let token = CUBE_POS;
    if token >= z.shape(0) {
        terminate!();
    }
    let len = z.shape(1);
    let row = token * len;
    let unit = UNIT_POS_X as usize;
    let count = CUBE_DIM_X as usize;
    let kept = ids.shape(1);
    let at = token * (kept + BEFORE);
    let at_ids = token * kept;
    // The list, largest first; kept by unit 0 alone.
    let mut top = Shared::<[f32]>::new_slice(comptime!(k as usize));
    let mut top_ids = Shared::<[u32]>::new_slice(comptime!(k as usize));
    let mut maxes = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let mut places = Shared::<[u32]>::new_slice(comptime!(units as usize));
    let mut rest = f32::new(0.0);
    if unit == 0 {
        rest = state[at];
        for i in 0..kept {
            top[i] = state[at + BEFORE + i];
            top_ids[i] = ids[at_ids + i];
        }
        let begin = first as usize;
        let label = labels[token] as usize;
        if label >= begin && label < begin + len {
            state[at + 1] = f32::cast_from(z[row + label - begin]);
        }
    }
    sync_cube();
    let mut taken = u32::new(0);
    let mut goes_on = len > 0;
    while goes_on {
        let mut largest = f32::new(TAKEN);
        let mut place = u32::cast_from(len);
        let mut j = UNIT_POS_X as usize;
        while j < len {
            let x = f32::cast_from(z[row + j]);
            if x > largest {
                largest = x;
                place = u32::cast_from(j);
            }
            j += count;
        }
        maxes[unit] = largest;
        places[unit] = place;
        sync_cube();
        let mut half = count / 2;
        while half > 0 {
            if unit < half {
                let a = maxes[unit];
                let b = maxes[unit + half];
                if b > a || (b == a && places[unit + half] < places[unit]) {
                    maxes[unit] = b;
                    places[unit] = places[unit + half];
                }
            }
            sync_cube();
            half /= 2;
        }
        let found = maxes[0];
        let place = places[0] as usize;
        goes_on = found > top[kept - 1];
        sync_cube();
        if goes_on {
            // Who reads it is who takes it away.
            if place % count == unit {
                z[row + place] = F::new(TAKEN);
            }
            if unit == 0 {
                if found > top[0] {
                    rest *= (top[0] - found).exp();
                }
                let mut largest = found;
                if top[0] > largest {
                    largest = top[0];
                }
                rest += (top[kept - 1] - largest).exp();
                let mut p = kept - 1;
                let mut moves = p > 0;
                while moves {
                    if top[p - 1] < found {
                        top[p] = top[p - 1];
                        top_ids[p] = top_ids[p - 1];
                        p -= 1;
                        moves = p > 0;
                    } else {
                        moves = false;
                    }
                }
                top[p] = found;
                top_ids[p] = first + u32::cast_from(place);
            }
            taken += 1;
            sync_cube();
            if taken as usize >= len {
                goes_on = false;
            }
        }
    }
    // What is left of the tile.
    let largest = top[0];
    let mut sum = f32::new(0.0);
    let mut j = UNIT_POS_X as usize;
    while j < len {
        let x = f32::cast_from(z[row + j]);
        if x > f32::new(-2.9e38) {
            sum += (x - largest).exp();
        }
        j += count;
    }
    maxes[unit] = sum;
    sync_cube();
    let mut half = count / 2;
    while half > 0 {
        if unit < half {
            maxes[unit] += maxes[unit + half];
        }
        sync_cube();
        half /= 2;
    }
    if unit == 0 {
        state[at] = rest + maxes[0];
        for i in 0..kept {
            state[at + BEFORE + i] = top[i];
            ids[at_ids + i] = top_ids[i];
        }
    }
}

/// The `k` most probable words of each token.
///
/// # Shapes
///
/// - hidden: `[tokens, hidden]`, head: `[hidden, vocab]`, labels: `[tokens]`, −1 where nothing is predicted
#[expect(clippy::cast_possible_truncation, reason = "ids are u32, and K is small")]
pub(super) fn capture(hidden: &Matrix, head: &Matrix, labels: &[i64], k: usize) -> Captured {
    let ([tokens, _], [_, vocab], device) = (hidden.dims(), head.dims(), hidden.device());
    let labels_there = cube::labels(labels, &device);
    let ids = cube::ids(vec![NO_WORD; tokens * k], [tokens, k], &device);
    let mut state = vec![TAKEN; tokens * (BEFORE + k)];
    state.chunks_mut(BEFORE + k).for_each(|token| token[..BEFORE].fill(0.0));
    let state = raw(give(state, [tokens, BEFORE + k], &device));
    let words = tile_words(tokens, vocab);
    for first in (0..vocab).step_by(words) {
        let len = words.min(vocab - first);
        let z = raw(hidden.clone().matmul(head.clone().narrow(1, first, len)));
        let dim = cube_dim(&z);
        see::launch(
            &z.client,
            rows(z.shape()[0]),
            dim,
            z.clone().into_tensor_arg(),
            labels_there.clone().into_tensor_arg(),
            state.clone().into_tensor_arg(),
            ids.clone().into_tensor_arg(),
            first as u32,
            k as u32,
            dim.x,
            dtype_to_storage_type(z.dtype),
        );
    }
    let state = take(cooked(state));
    let ids = take_ints(burn::tensor::Tensor::<2, burn::tensor::Int>::from_primitive::<
        burn_cubecl::CubeBackend,
    >(ids));
    let row = |(token, numbers): (usize, &[f32])| {
        let ids = &ids[token * k..(token + 1) * k];
        let id = |id: &i64| u32::try_from(*id).unwrap_or(NO_WORD);
        let top = numbers[BEFORE..].iter().copied().zip(ids.iter().map(id)).collect();
        let (max, rest, label_logit) = (numbers[BEFORE], numbers[0], numbers[1]);
        Row { max, rest, top, label_logit, ..Row::new(labels[token], k) }
    };
    Captured::of(state.chunks(BEFORE + k).enumerate().map(row), k)
}
