//! What a channel, a neuron or a head is worth, from activations alone.
//!
//! Muralidharan et al. 2024, arXiv:2407.14679, section 2.2, with the aggregation they chose: the mean of
//! absolute values over the sequence, then the L2 norm over the samples. A sample adds the square of
//! its mean, so the micro-batches that samples came in do not show.

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use crate::host::{fits, take};

/// `Σ_samples (mean_seq |x|)²` for each of the last dimension's channels, in f64.
///
/// Adding the results of two micro-batches gives the result of both together; the square root of the
/// sum over all samples is the score.
///
/// # Shapes
///
/// - x: `[batch * seq, channels]`
/// - output: `channels` values
#[must_use]
pub fn squared_mean_abs(x: Tensor<2>, batch: usize) -> Vec<f64> {
    let [tokens, channels] = x.dims();
    let seq = tokens / batch;
    let means: Vec<Vec<f64>> = if fits(&x) {
        let x = take(x);
        x.par_chunks(seq * channels)
            .map(|sample| {
                let mut sums = vec![0.0f64; channels];
                for row in sample.chunks(channels) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(x.abs()));
                }
                sums.iter_mut().for_each(|sum| *sum /= seq as f64);
                sums
            })
            .collect()
    } else {
        let x = x.cast(DType::F32).abs().reshape([batch, seq, channels]).mean_dim(1);
        let x = take(x.reshape([batch, channels]));
        x.chunks(channels).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
    };
    let mut total = vec![0.0; channels];
    for sample in means {
        total.iter_mut().zip(sample).for_each(|(total, mean)| *total += mean * mean);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn micro_batches_add_up_to_the_whole_exactly() {
        let x = random([6 * 10, 7], 1);
        let whole = squared_mean_abs(x.clone(), 6);
        let mut parts = squared_mean_abs(x.clone().narrow(0, 0, 20), 2);
        let rest = squared_mean_abs(x.clone().narrow(0, 20, 40), 4);
        parts.iter_mut().zip(rest).for_each(|(a, b)| *a += b);
        for (channel, (whole, parts)) in whole.iter().zip(&parts).enumerate() {
            let x = take(x.clone());
            let expected: f64 = (0..6)
                .map(|s| {
                    (0..10).map(|p| f64::from(x[(s * 10 + p) * 7 + channel].abs())).sum::<f64>()
                })
                .map(|sum| (sum / 10.0).powi(2))
                .sum();
            assert!((whole - parts).abs() < 1e-12 && (whole - expected).abs() < 1e-12);
        }
    }
}
