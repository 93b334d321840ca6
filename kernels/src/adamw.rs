//! AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101): the step of one parameter, in f32.
//!
//! `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`,
//! `w ← w − lr (m̂ / (√v̂ + ε) + λ w)` with `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)`.

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::host::{fits, hold, take, wide};

const BLOCK: usize = 1 << 14;

/// What a step is made of; the same for every parameter but `weight_decay`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Of this step.
    pub learning_rate: f64,
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε, outside the root.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
    /// t, from one.
    pub time: u64,
    /// Multiplies every gradient first: the clip by global norm.
    pub gradient_scale: f64,
}

/// A parameter with its two moments; all of one shape.
#[derive(Clone, Debug)]
pub struct Moments<const D: usize> {
    /// w.
    pub weight: Tensor<D>,
    /// m.
    pub first: Tensor<D>,
    /// v.
    pub second: Tensor<D>,
}

impl AdamW {
    /// The parameter and its moments after the step.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "scalars, in the parameters' type")]
    pub fn step<const D: usize>(&self, state: Moments<D>, gradient: Tensor<D>) -> Moments<D> {
        let time = i32::try_from(self.time).unwrap_or(i32::MAX);
        let correct1 = 1.0 - self.beta1.powi(time);
        let correct2 = 1.0 - self.beta2.powi(time);
        if !fits(&state.weight) || !fits(&gradient) {
            let g = gradient * self.gradient_scale;
            let m = state.first * self.beta1 + g.clone() * (1.0 - self.beta1);
            let v = state.second * self.beta2 + g.square() * (1.0 - self.beta2);
            let step = m.clone() / correct1 / ((v.clone() / correct2).sqrt() + self.epsilon);
            let kept = state.weight * (1.0 - self.learning_rate * self.weight_decay);
            return Moments { weight: kept - step * self.learning_rate, first: m, second: v };
        }
        let device = state.weight.device();
        let (mut w, mut m, mut v) = (hold(state.weight), hold(state.first), hold(state.second));
        let g = hold(gradient);
        let (beta1, beta2, scale) =
            (self.beta1 as f32, self.beta2 as f32, self.gradient_scale as f32);
        let (fresh1, fresh2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let keep = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let rate = (self.learning_rate / correct1) as f32;
        let (root, epsilon) = ((1.0 / correct2.sqrt()) as f32, self.epsilon as f32);
        w.par_chunks_mut(BLOCK)
            .zip(m.par_chunks_mut(BLOCK))
            .zip(v.par_chunks_mut(BLOCK))
            .zip(g.par_chunks(BLOCK))
            .for_each(|(((w, m), v), g)| {
                wide(
                    #[inline(always)]
                    || {
                        for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
                            let g = g * scale;
                            *m = beta1 * *m + fresh1 * g;
                            *v = beta2 * *v + fresh2 * g * g;
                            *w = *w * keep - rate * *m / (v.sqrt() * root + epsilon);
                        }
                    },
                );
            });
        let [weight, first, second] = [w, m, v].map(|held| held.tensor(&device));
        Moments { weight, first, second }
    }
}

/// The sum of squares of a gradient, in f64 on the CPU; the square root of all of them is the global norm.
///
/// Another device sums the rows, each in one order, and the host the rest: the sum of a whole tensor is a race of
/// atomic additions on a GPU, and a clipped step would not give the same bits twice.
#[must_use]
pub fn sum_of_squares<const D: usize>(gradient: &Tensor<D>) -> f64 {
    if !fits(gradient) {
        let squares = gradient.clone().square();
        let rows = if D > 1 { squares.sum_dim(D - 1) } else { squares };
        return take(rows).into_iter().map(f64::from).sum();
    }
    let gradient = hold(gradient.clone());
    let parts: Vec<f64> = gradient
        .par_chunks(BLOCK)
        .map(|g| g.iter().map(|g| f64::from(*g) * f64::from(*g)).sum())
        .collect();
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn three_steps_equal_the_paper_in_double_precision() {
        let dims = [3, 50];
        let mut state = Moments {
            weight: random(dims, 1),
            first: Tensor::zeros(dims, &burn::tensor::Device::flex()),
            second: Tensor::zeros(dims, &burn::tensor::Device::flex()),
        };
        let mut w: Vec<f64> = take(state.weight.clone()).into_iter().map(f64::from).collect();
        let (mut m, mut v) = (vec![0.0; 150], vec![0.0; 150]);
        for time in 1..=3 {
            let adamw = AdamW {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                weight_decay: 0.1,
                time,
                gradient_scale: 0.5,
            };
            let gradient = random(dims, 10 + time);
            let g: Vec<f64> = take(gradient.clone()).iter().map(|g| f64::from(*g) * 0.5).collect();
            state = adamw.step(state, gradient);
            for i in 0..150 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.95 * v[i] + 0.05 * g[i] * g[i];
                let t = i32::try_from(time).unwrap();
                let (mh, vh) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.95f64.powi(t)));
                w[i] -= 0.01 * (mh / (vh.sqrt() + 1e-8) + 0.1 * w[i]);
            }
        }
        for (found, expected) in take(state.weight).iter().zip(&w) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-6,
                "expected {expected}, found {found}"
            );
        }
    }

    #[test]
    fn the_norm_is_that_of_all_values() {
        let g = random([100, 301], 1);
        let expected: f64 = take(g.clone()).iter().map(|g| f64::from(*g).powi(2)).sum();
        assert!((sum_of_squares(&g) - expected).abs() < 1e-9 * expected);
    }
}
