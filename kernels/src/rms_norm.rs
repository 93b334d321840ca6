//! Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467).
//!
//! `y = x · r · γ` with `r = (mean(x²) + ε)^(−1/2)`, the mean over the hidden channels, in f32.

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use crate::host::{LANES, fits, give, hold, sum, take, wide};

/// Normalises each row; also returns `r`, which the backward pass needs.
///
/// # Shapes
///
/// - x: `[tokens, hidden]`, gamma: `[hidden]`
/// - output: `[tokens, hidden]`, and `r`: `[tokens, 1]` in f32
#[must_use]
pub fn rms_norm(x: Tensor<2>, gamma: &Tensor<1>, eps: f64) -> (Tensor<2>, Tensor<2>) {
    let [tokens, hidden] = x.dims();
    if !fits(&x) {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let r = (x.clone().square().mean_dim(1) + eps).sqrt().recip();
        let gamma = gamma.clone().cast(DType::F32).unsqueeze_dim(0);
        return ((x * r.clone() * gamma).cast(dtype), r);
    }
    let device = x.device();
    let (x, gamma) = (hold(x), take(gamma.clone()));
    let (mut y, mut r) = (vec![0.0f32; tokens * hidden], vec![0.0f32; tokens]);
    let rows = y.par_chunks_mut(hidden).zip(x.par_chunks(hidden)).zip(r.par_iter_mut());
    rows.for_each(|((y, x), r)| {
        wide(
            #[inline(always)]
            || {
                *r = inverse_rms(x, eps);
                for ((y, x), gamma) in y.iter_mut().zip(x).zip(&gamma) {
                    *y = x * *r * gamma;
                }
            },
        );
    });
    (give(y, [tokens, hidden], &device), give(r, [tokens, 1], &device))
}

#[expect(clippy::cast_possible_truncation, reason = "a mean of f32 rounds to f32")]
#[inline(always)]
fn inverse_rms(x: &[f32], eps: f64) -> f32 {
    let mean = f64::from(sum(x, |x| x * x)) / x.len() as f64;
    (1.0 / (mean + eps).sqrt()) as f32
}

/// The gradients of [`rms_norm`] with respect to `x` and `gamma`, given that of its output.
///
/// With `g = dy · γ`: `dx = r (g − x r² mean(g x))` and `dγ = Σ_tokens dy x r`.
///
/// # Shapes
///
/// - x, dy: `[tokens, hidden]`, r: `[tokens, 1]`, gamma: `[hidden]`
/// - output: `[tokens, hidden]` and `[hidden]` (f32)
#[must_use]
pub fn rms_norm_backward(
    x: Tensor<2>,
    r: Tensor<2>,
    gamma: &Tensor<1>,
    dy: Tensor<2>,
) -> (Tensor<2>, Tensor<1>) {
    let [_, hidden] = x.dims();
    if !fits(&x) || !fits(&dy) {
        let dtype = x.dtype();
        let (x, dy) = (x.cast(DType::F32), dy.cast(DType::F32));
        let xr = x * r.clone();
        let dgamma = (dy.clone() * xr.clone()).sum_dim(0).squeeze_dim(0);
        let g = dy * gamma.clone().cast(DType::F32).unsqueeze_dim(0);
        let mean = (g.clone() * xr.clone()).mean_dim(1);
        return (((g - xr * mean) * r).cast(dtype), dgamma);
    }
    let device = x.device();
    let (x, r, gamma, mut dy) = (hold(x), hold(r), take(gamma.clone()), hold(dy));
    // Rows are summed in blocks of a fixed size, so that the sum does not depend on the threads.
    let block = 64 * hidden;
    let partial: Vec<Vec<f32>> = dy
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .zip(r.par_chunks(64))
        .map(|((dy, x), r)| {
            let mut dgamma = vec![0.0f32; hidden];
            for ((dy, x), &r) in dy.chunks_mut(hidden).zip(x.chunks(hidden)).zip(r) {
                let (gamma, dgamma) = (&gamma, &mut dgamma);
                wide(
                    #[inline(always)]
                    || row_backward(dy, x, r, gamma, dgamma),
                );
            }
            dgamma
        })
        .collect();
    let mut dgamma = vec![0.0f32; hidden];
    for partial in partial {
        dgamma.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
    (dy.tensor(&device), give(dgamma, [hidden], &device))
}

/// One row of [`rms_norm_backward`]: `dx` in place of `dy`, and what the row adds to `dγ`.
#[inline(always)]
fn row_backward(dy: &mut [f32], x: &[f32], r: f32, gamma: &[f32], dgamma: &mut [f32]) {
    let mut scaled = dy.iter().zip(gamma).map(|(d, g)| d * g);
    let mut lanes = [0.0f32; LANES];
    for x in x.chunks(LANES) {
        for ((lane, x), scaled) in lanes.iter_mut().zip(x).zip(&mut scaled) {
            *lane += x * scaled;
        }
    }
    let pull = lanes.iter().sum::<f32>() * r * r / x.len() as f32;
    for (((dy, x), gamma), dgamma) in dy.iter_mut().zip(x).zip(gamma).zip(dgamma) {
        *dgamma += *dy * x * r;
        *dy = r * (*dy * gamma - x * pull);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, autodiff, random};

    /// The definition, as tensor operations that can be differentiated.
    fn reference(x: Tensor<2>, gamma: Tensor<1>, eps: f64) -> Tensor<2> {
        let r = (x.clone().square().mean_dim(1) + eps).sqrt().recip();
        x * r * gamma.unsqueeze_dim(0)
    }

    #[test]
    fn agrees_with_its_definition_and_its_gradients_with_automatic_differentiation() {
        let (x, gamma, dy) = (random([70, 24], 1), random([24], 2), random([70, 24], 3));
        let (y, r) = rms_norm(x.clone(), &gamma, 1e-5);
        let (dx, dgamma) = rms_norm_backward(x.clone(), r, &gamma, dy.clone());

        let (x, gamma) = (autodiff(x), autodiff(gamma));
        let expected = reference(x.clone(), gamma.clone(), 1e-5);
        let grads = (expected.clone() * Tensor::from_inner(dy)).sum().backward();
        assert_close(y, expected.inner(), 1e-6);
        assert_close(dx, x.grad(&grads).unwrap(), 1e-5);
        assert_close(dgamma, gamma.grad(&grads).unwrap(), 1e-5);
    }
}
