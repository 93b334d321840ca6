//! The power of activations, channel by channel.

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use crate::host::{fits, hold, take};

/// `Σ_tokens x²` for each of the last dimension's channels, in f64; the samples of a batch are summed in their order.
///
/// # Shapes
///
/// - x: `[batch * seq, channels]`
/// - output: `channels` values
#[must_use]
pub fn squares(x: Tensor<2>, batch: usize) -> Vec<f64> {
    let [tokens, channels] = x.dims();
    let seq = tokens / batch;
    let samples: Vec<Vec<f64>> = if fits(&x) {
        let sum = |sample: &[f32]| {
            let mut sums = vec![0.0f64; channels];
            crate::host::wide(
                #[inline(always)]
                || {
                    for row in sample.chunks_exact(channels) {
                        let sums = sums.iter_mut().zip(row);
                        sums.for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
                    }
                },
            );
            sums
        };
        hold(x).par_chunks(seq * channels).map(sum).collect()
    } else {
        let x = x.cast(DType::F32);
        let sums = (x.clone() * x).reshape([batch, seq, channels]).sum_dim(1);
        let sums = take(sums.reshape([batch, channels]));
        sums.chunks(channels).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
    };
    let mut total = vec![0.0; channels];
    for sample in samples {
        total.iter_mut().zip(sample).for_each(|(total, sum)| *total += sum);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn the_sum_is_the_plain_one_and_that_of_micro_batches() {
        let x = random([6 * 10, 7], 1);
        let whole = squares(x.clone(), 6);
        let parts =
            [squares(x.clone().narrow(0, 0, 20), 2), squares(x.clone().narrow(0, 20, 40), 4)];
        // The path of other devices, which sums in f32.
        let sums = x.clone() * x.clone();
        let tensor = take(sums.sum_dim(0));
        let x = take(x);
        for channel in 0..7 {
            let expected: f64 = (0..60).map(|t| f64::from(x[t * 7 + channel]).powi(2)).sum();
            assert!((whole[channel] - expected).abs() < 1e-12 * expected);
            assert!((parts[0][channel] + parts[1][channel] - expected).abs() < 1e-12 * expected);
            assert!((f64::from(tensor[channel]) - expected).abs() < 1e-5 * expected);
        }
    }
}
