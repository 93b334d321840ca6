//! Losses on hidden states: a student's layer is to say what a layer of its teacher says.

use burn::tensor::{DType, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::host::take;

/// How far two hidden states are from one another. `y` is the student's, or its projection where the widths differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenLoss {
    /// `1 − y · t / (|y| |t|)`: what the Minitron papers settled on (Muralidharan et al. 2024, arXiv:2407.14679).
    #[default]
    Cosine,
    /// `|y − t|² / hidden`.
    Mse,
}

/// The gradients of a hidden-state loss.
#[derive(Clone, Debug)]
pub struct HiddenGradients {
    /// Of the student's states: `[tokens, hidden]`.
    pub student: Tensor<2>,
    /// Of the projection: `[hidden, teacher's hidden]`, f32.
    pub projection: Option<Tensor<2>>,
}

/// The sum of the losses over the tokens that have a label, and `scale` times their gradients.
///
/// # Shapes
///
/// - student: `[tokens, hidden]`, teacher: `[tokens, teacher's hidden]`, projection: `[hidden, teacher's hidden]`
/// - labels: `[tokens]`, −1 where nothing is predicted
#[must_use]
pub fn hidden_loss(
    loss: HiddenLoss,
    student: &Tensor<2>,
    projection: Option<&Tensor<2>>,
    teacher: &Tensor<2>,
    labels: &Tensor<1, Int>,
    scale: f64,
) -> (f64, HiddenGradients) {
    let [_, hidden] = teacher.dims();
    let dtype = student.dtype();
    let (states, t) = (student.clone().cast(DType::F32), teacher.clone().cast(DType::F32));
    let y = match projection {
        Some(projection) => states.clone().matmul(projection.clone()),
        None => states.clone(),
    };
    let predicted = labels.clone().greater_equal_elem(0).float().cast(DType::F32);
    let predicted = predicted.unsqueeze_dim::<2>(1);
    let (value, gradient) = match loss {
        HiddenLoss::Cosine => {
            // A state of nothing but zeros has no direction: its cosine counts as nought.
            let norm = |x: &Tensor<2>| x.clone().square().sum_dim(1).sqrt().clamp_min(1e-6);
            let (y_norm, t_norm) = (norm(&y), norm(&t));
            let (y, t) = (y / y_norm.clone(), t / t_norm);
            let cosine = (y.clone() * t.clone()).sum_dim(1);
            (cosine.clone().neg() + 1.0, (y * cosine - t) / y_norm)
        }
        HiddenLoss::Mse => {
            let (gap, weight) = (y - t, 1.0 / hidden as f64);
            (gap.clone().square().sum_dim(1) * weight, gap * (2.0 * weight))
        }
    };
    let sum = take(value * predicted.clone()).into_iter().map(f64::from).sum();
    let gradient = gradient * (predicted * scale);
    let gradients = match projection {
        Some(projection) => HiddenGradients {
            student: gradient.clone().matmul(projection.clone().transpose()).cast(dtype),
            projection: Some(states.transpose().matmul(gradient)),
        },
        None => HiddenGradients { student: gradient.cast(dtype), projection: None },
    };
    (sum, gradients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};

    /// Of one token, by the definition, in f64.
    fn defined(loss: HiddenLoss, x: &[f64], p: Option<&[f64]>, t: &[f64]) -> f64 {
        let y: Vec<f64> = match p {
            Some(p) => (0..t.len())
                .map(|j| x.iter().enumerate().map(|(i, x)| x * p[i * t.len() + j]).sum())
                .collect(),
            None => x.to_vec(),
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        match loss {
            HiddenLoss::Cosine => 1.0 - dot(&y, t) / (dot(&y, &y) * dot(t, t)).sqrt(),
            HiddenLoss::Mse => {
                y.iter().zip(t).map(|(y, t)| (y - t).powi(2)).sum::<f64>() / t.len() as f64
            }
        }
    }

    #[test]
    fn both_losses_and_their_gradients_are_those_of_the_definition() {
        let exact = |x: &Tensor<2>| take(x.clone()).into_iter().map(f64::from).collect::<Vec<_>>();
        let slope = |at: &dyn Fn(f64) -> f64| (at(1e-5) - at(-1e-5)) / 2e-5;
        for loss in [HiddenLoss::Cosine, HiddenLoss::Mse] {
            for projected in [false, true] {
                let (tokens, width, wide) = (5, 7, if projected { 11 } else { 7 });
                let (student, teacher) = (random([tokens, width], 1), random([tokens, wide], 2));
                let projection = projected.then(|| random([width, wide], 3));
                let ids = [3i32, -1, 0, 2, 1];
                let labels = Tensor::<1, Int>::from_ints(ids, &student.device());
                let (x, t, p) = (exact(&student), exact(&teacher), projection.as_ref().map(&exact));
                let total = |x: &[f64], p: Option<&[f64]>| -> f64 {
                    let rows = x.chunks(width).zip(t.chunks(wide)).zip(ids);
                    rows.filter(|(_, id)| *id >= 0).map(|((x, t), _)| defined(loss, x, p, t)).sum()
                };
                let moved = |x: &[f64], i: usize, h: f64| {
                    let mut x = x.to_vec();
                    x[i] += h;
                    x
                };
                #[expect(clippy::cast_possible_truncation, reason = "of what is compared")]
                let scaled = |x: f64| (x * 0.25) as f32;
                let (sum, found) =
                    hidden_loss(loss, &student, projection.as_ref(), &teacher, &labels, 0.25);
                let expected = total(&x, p.as_deref());
                assert!((sum - expected).abs() < 1e-5 * expected, "{sum} {expected}");
                let of_student: Vec<f32> = (0..x.len())
                    .map(|i| scaled(slope(&|h| total(&moved(&x, i, h), p.as_deref()))))
                    .collect();
                let device = student.device();
                let expected = crate::host::give(of_student, [tokens, width], &device);
                assert_close(found.student, expected, 1e-5);
                if let Some(p) = &p {
                    let of_projection: Vec<f32> = (0..p.len())
                        .map(|i| scaled(slope(&|h| total(&x, Some(&moved(p, i, h))))))
                        .collect();
                    let expected = crate::host::give(of_projection, [width, wide], &device);
                    assert_close(found.projection.unwrap(), expected, 1e-5);
                }
            }
        }
    }
}
