//! What the units of a device do with a tile of logits; see the [pair](super) that they are.

use cubecl::prelude::*;

use crate::cube::TAKEN;

/// Numbers of a token before its known words: the largest of the rest, its two masses, its place, the label's logit.
pub(super) const BEFORE: usize = 5;

/// Pass 1, a unit a token: its known words go from the tile into `state`.
///
/// # Shapes
///
/// - z: `[tokens, len]`, ids: `[tokens, k]`, labels: `[tokens, 1]`, state: `[tokens, BEFORE + k]`
#[cube(launch)]
pub(super) fn take_words<F: Float>(
    z: &mut Tensor<F>,
    ids: &Tensor<u32>,
    labels: &Tensor<u32>,
    state: &mut Tensor<f32>,
    first: u32,
    #[define(F)] _dtype: ElemType,
) {
    let token = ABSOLUTE_POS;
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
pub(super) fn see_rest<F: Float>(
    z: &Tensor<F>,
    state: &mut Tensor<f32>,
    first: u32,
    inverse_tau: f32,
    #[comptime] units: u32,
    #[comptime] is_plain: bool,
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
pub(super) fn turn<F: Float>(
    z: &mut Tensor<F>,
    weights: &Tensor<f32>,
    inverse_tau: f32,
    #[comptime] is_plain: bool,
    #[define(F)] _dtype: ElemType,
) {
    let token = CUBE_POS;
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
pub(super) fn add_words<F: Float>(
    z: &mut Tensor<F>,
    ids: &Tensor<u32>,
    labels: &Tensor<u32>,
    s: &Tensor<f32>,
    first: u32,
    cross_entropy: f32,
    #[define(F)] _dtype: ElemType,
) {
    let token = ABSOLUTE_POS;
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
