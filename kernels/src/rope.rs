//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864), in Hugging Face's half-split order.
//!
//! Channel `i` of the first half of a head turns with channel `i` of the second half, by the angle
//! `position · θ^(−2i / head_dim)`. Llama 3.1 slows the long wavelengths; the tables carry that, so the
//! rotation itself need not know.

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use crate::host::{fits, give, hold};

/// Cosines and sines of every position and pair of channels.
#[derive(Clone, Debug)]
pub struct RopeTables {
    cos: Tensor<2>,
    sin: Tensor<2>,
    host: std::sync::Arc<(Vec<f32>, Vec<f32>)>,
}

impl RopeTables {
    /// Tables for positions `first .. first + seq`, of frequencies in radians a position.
    ///
    /// Angles are computed in f32, as transformers computes them: at long contexts the rounding of
    /// the angle is part of the model.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "f32 is the tables' type")]
    pub fn new(frequencies: &[f64], first: usize, seq: usize, device: &Device) -> Self {
        let half = frequencies.len();
        let (mut cos, mut sin) = (Vec::with_capacity(seq * half), Vec::with_capacity(seq * half));
        for position in first..first + seq {
            for frequency in frequencies {
                let angle = position as f32 * *frequency as f32;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
        Self {
            cos: give(cos.clone(), [seq, half], device),
            sin: give(sin.clone(), [seq, half], device),
            host: std::sync::Arc::new((cos, sin)),
        }
    }
}

/// Which way to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// As the forward pass does.
    Forward,
    /// Back: the transpose of the rotation, which carries gradients.
    Back,
}

/// Splits rows into heads and turns each by its position.
///
/// # Shapes
///
/// - x: `[batch * seq, heads * head_dim]`
/// - output: `[batch, heads, seq, head_dim]`
#[must_use]
pub fn rope_split(x: Tensor<2>, batch: usize, heads: usize, tables: &RopeTables) -> Tensor<4> {
    let [tokens, width] = x.dims();
    let (seq, head_dim) = (tokens / batch, width / heads);
    if !fits(&x) {
        let x = x.reshape([batch, seq, heads, head_dim]).swap_dims(1, 2);
        return turn(x, tables, Turn::Forward);
    }
    let device = x.device();
    let (x, half) = (hold(x), head_dim / 2);
    let x: &[f32] = &x;
    let (cos, sin) = &*tables.host;
    let mut out = vec![0.0f32; x.len()];
    out.par_chunks_mut(seq * head_dim).enumerate().for_each(|(i, out)| {
        let (sample, head) = (i / heads, i % heads);
        for (position, out) in out.chunks_mut(head_dim).enumerate() {
            let row = ((sample * seq + position) * heads + head) * head_dim;
            let (a, b) = x[row..row + head_dim].split_at(half);
            let (cos, sin) = (&cos[position * half..], &sin[position * half..]);
            let (ya, yb) = out.split_at_mut(half);
            for j in 0..half {
                ya[j] = a[j] * cos[j] - b[j] * sin[j];
                yb[j] = b[j] * cos[j] + a[j] * sin[j];
            }
        }
    });
    give(out, [batch, heads, seq, head_dim], &device)
}

/// The transpose of [`rope_split`]: turns gradients back, and joins the heads.
///
/// # Shapes
///
/// - dx: `[batch, heads, seq, head_dim]`
/// - output: `[batch * seq, heads * head_dim]`
#[must_use]
pub fn rope_join(dx: Tensor<4>, tables: &RopeTables) -> Tensor<2> {
    let [batch, heads, seq, head_dim] = dx.dims();
    if !fits(&dx) {
        let x = turn(dx, tables, Turn::Back);
        return x.swap_dims(1, 2).reshape([batch * seq, heads * head_dim]);
    }
    let device = dx.device();
    let (dx, half) = (hold(dx), head_dim / 2);
    let dx: &[f32] = &dx;
    let (cos, sin) = &*tables.host;
    let mut out = vec![0.0f32; dx.len()];
    out.par_chunks_mut(heads * head_dim).enumerate().for_each(|(i, out)| {
        let (sample, position) = (i / seq, i % seq);
        let (cos, sin) = (&cos[position * half..], &sin[position * half..]);
        for (head, out) in out.chunks_mut(head_dim).enumerate() {
            let row = ((sample * heads + head) * seq + position) * head_dim;
            let (a, b) = dx[row..row + head_dim].split_at(half);
            let (ya, yb) = out.split_at_mut(half);
            for j in 0..half {
                ya[j] = a[j] * cos[j] + b[j] * sin[j];
                yb[j] = b[j] * cos[j] - a[j] * sin[j];
            }
        }
    });
    give(out, [batch * seq, heads * head_dim], &device)
}

/// The rotation as tensor operations.
///
/// # Shapes
///
/// - x, output: `[batch, heads, seq, head_dim]`
fn turn(x: Tensor<4>, tables: &RopeTables, turn: Turn) -> Tensor<4> {
    let [_, _, seq, head_dim] = x.dims();
    let half = head_dim / 2;
    let dtype = x.dtype();
    let cos = tables.cos.clone().cast(dtype).reshape([1, 1, seq, half]);
    let sin = tables.sin.clone().cast(dtype).reshape([1, 1, seq, half]);
    let sin = if turn == Turn::Back { sin.neg() } else { sin };
    let (a, b) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
    let first = a.clone() * cos.clone() - b.clone() * sin.clone();
    Tensor::cat(vec![first, b * cos + a * sin], 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};

    #[test]
    fn one_pass_equals_the_tensor_operations_and_back_undoes_forward() {
        let tables = RopeTables::new(&[1.0, 0.1, 0.01], 3, 5, &Device::flex());
        let x = random([2 * 5, 4 * 6], 1);
        let split = rope_split(x.clone(), 2, 4, &tables);
        let plain = x.clone().reshape([2, 5, 4, 6]).swap_dims(1, 2);
        assert_close(split.clone(), turn(plain, &tables, Turn::Forward), 1e-6);
        assert_close(rope_join(split.clone(), &tables), x.clone(), 1e-6);
        assert_close(turn(split, &tables, Turn::Back).swap_dims(1, 2).reshape([10, 24]), x, 1e-6);
    }
}
