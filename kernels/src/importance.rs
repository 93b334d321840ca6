//! What a channel, a neuron or a head is worth, from activations alone.
//!
//! Muralidharan et al. 2024, arXiv:2407.14679, section 2.2: a channel's values are aggregated over the positions of
//! a sample (`mean |x|`, `√Σx²` or the variance), and that over the samples, again in one of three ways. All nine come
//! from sums over the samples that are taken at once, in f64, so the micro-batches that samples came in do not show.

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::host::{fits, give, hold, take};

/// The sums over samples of one aggregate over the sequence: `Σ a` and `Σ a²` of each channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// `Σ_samples a`.
    pub sum: Vec<f64>,
    /// `Σ_samples a²`.
    pub squares: Vec<f64>,
}

impl Moments {
    /// Of no sample.
    #[must_use]
    pub fn zeros(channels: usize) -> Self {
        Self { sum: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    fn push(&mut self, aggregate: &[f64]) {
        for ((sum, squares), a) in self.sum.iter_mut().zip(&mut self.squares).zip(aggregate) {
            *sum += a;
            *squares += a * a;
        }
    }

    /// Adds those of other samples.
    pub fn add(&mut self, other: &Self) {
        self.sum.iter_mut().zip(&other.sum).for_each(|(mine, theirs)| *mine += theirs);
        self.squares.iter_mut().zip(&other.squares).for_each(|(mine, theirs)| *mine += theirs);
    }
}

/// [`Moments`] of each way to aggregate over the sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleSums {
    /// Of `a = (1/S) Σ_s |x_s|`.
    pub mean: Moments,
    /// Of `a = √(Σ_s x_s²)`.
    pub l2: Moments,
    /// Of `a = (1/S) Σ_s (x_s − x̄)²`.
    pub variance: Moments,
}

impl SampleSums {
    /// Of no sample.
    #[must_use]
    pub fn zeros(channels: usize) -> Self {
        let zeros = || Moments::zeros(channels);
        Self { mean: zeros(), l2: zeros(), variance: zeros() }
    }

    /// Adds those of other samples: the result is that of both together.
    pub fn add(&mut self, other: &Self) {
        self.mean.add(&other.mean);
        self.l2.add(&other.l2);
        self.variance.add(&other.variance);
    }

    /// The six rows of numbers, with their names, in the order of the struct.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &Vec<f64>); 6] {
        [
            ("mean_sum", &self.mean.sum),
            ("mean_squares", &self.mean.squares),
            ("l2_sum", &self.l2.sum),
            ("l2_squares", &self.l2.squares),
            ("variance_sum", &self.variance.sum),
            ("variance_squares", &self.variance.squares),
        ]
    }

    /// As [`named`](Self::named), to be written to.
    pub fn rows_mut(&mut self) -> [&mut Vec<f64>; 6] {
        [
            &mut self.mean.sum,
            &mut self.mean.squares,
            &mut self.l2.sum,
            &mut self.l2.squares,
            &mut self.variance.sum,
            &mut self.variance.squares,
        ]
    }
}

/// One sample's three aggregates of each channel.
struct Aggregates {
    mean: Vec<f64>,
    l2: Vec<f64>,
    variance: Vec<f64>,
}

impl Aggregates {
    /// From `Σ|x|`, `Σx²` and `Σx`. In f64 the difference that the variance is loses nothing that f32 had.
    fn of(absolute: Vec<f64>, squares: Vec<f64>, sums: &[f64], seq: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "positions of a sequence")]
        let seq = seq as f64;
        let variance = squares.iter().zip(sums).map(|(q, s)| {
            let mean = s / seq;
            let variance = q / seq - mean * mean;
            // Not `max`: what is no number stays none.
            if variance < 0.0 { 0.0 } else { variance }
        });
        Self {
            variance: variance.collect(),
            mean: absolute.into_iter().map(|a| a / seq).collect(),
            l2: squares.into_iter().map(f64::sqrt).collect(),
        }
    }
}

/// The sums of a micro-batch, for each of the last dimension's channels.
///
/// # Shapes
///
/// - x: `[batch * seq, channels]`
/// - output: `channels` values each
#[must_use]
pub fn sample_sums(x: Tensor<2>, batch: usize) -> SampleSums {
    let [tokens, channels] = x.dims();
    let seq = tokens / batch;
    let samples: Vec<Aggregates> =
        if fits(&x) { on_host(&hold(x), seq, channels) } else { on_device(x, batch, seq) };
    let mut total = SampleSums::zeros(channels);
    for sample in samples {
        total.mean.push(&sample.mean);
        total.l2.push(&sample.l2);
        total.variance.push(&sample.variance);
    }
    total
}

/// Rows that are added to the sums together: the sums are read and written once for all of them.
const ROWS: usize = 8;

/// One pass over memory a sample; each channel's values are added in the order of the positions.
fn on_host(x: &[f32], seq: usize, channels: usize) -> Vec<Aggregates> {
    x.par_chunks(seq * channels)
        .map(|sample| {
            let zeros = || vec![0.0f64; channels];
            let (mut absolute, mut squares, mut sums) = (zeros(), zeros(), zeros());
            crate::host::wide(
                #[inline(always)]
                || {
                    let (together, rest) = sample.split_at(sample.len() - seq % ROWS * channels);
                    for rows in together.chunks_exact(ROWS * channels) {
                        let rows: [&[f32]; ROWS] =
                            std::array::from_fn(|r| &rows[r * channels..(r + 1) * channels]);
                        add(rows, &mut absolute, &mut squares, &mut sums);
                    }
                    for row in rest.chunks_exact(channels) {
                        add([row], &mut absolute, &mut squares, &mut sums);
                    }
                },
            );
            Aggregates::of(absolute, squares, &sums, seq)
        })
        .collect()
}

/// Adds rows of as many values as there are sums.
#[inline(always)]
fn add<const N: usize>(
    rows: [&[f32]; N],
    absolute: &mut [f64],
    squares: &mut [f64],
    sums: &mut [f64],
) {
    let channels = sums.len();
    let rows = rows.map(|row| &row[..channels]);
    let sums = absolute[..channels].iter_mut().zip(&mut squares[..channels]).zip(sums);
    for (c, ((absolute, squares), sum)) in sums.enumerate() {
        // In registers while the rows go by.
        let (mut a, mut q, mut s) = (*absolute, *squares, *sum);
        for row in rows {
            let x = f64::from(row[c]);
            a += x.abs();
            q += x * x;
            s += x;
        }
        (*absolute, *squares, *sum) = (a, q, s);
    }
}

/// The reductions over positions on the device, in f32; deviations from the mean, for f32 cannot take differences of
/// squares.
fn on_device(x: Tensor<2>, batch: usize, seq: usize) -> Vec<Aggregates> {
    let [_, channels] = x.dims();
    let x = x.cast(DType::F32).reshape([batch, seq, channels]);
    let rows = |t: Tensor<3>| -> Vec<Vec<f64>> {
        let values = take(t.reshape([batch, channels]));
        values.chunks(channels).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
    };
    let mean = rows(x.clone().abs().mean_dim(1));
    let squares = rows(x.clone().square().sum_dim(1));
    let deviation = x.clone() - x.mean_dim(1);
    let variance = rows(deviation.square().mean_dim(1));
    let samples = mean.into_iter().zip(squares).zip(variance);
    samples
        .map(|((mean, squares), variance)| Aggregates {
            mean,
            l2: squares.into_iter().map(f64::sqrt).collect(),
            variance,
        })
        .collect()
}

/// The L2 norm of each head's output at each position: what the paper scores heads by.
///
/// # Shapes
///
/// - x: `[tokens, heads * head_dim]`
/// - output: `[tokens, heads]`
#[must_use]
pub fn head_norms(x: Tensor<2>, heads: usize) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let head_dim = width / heads;
    if fits(&x) {
        let device = x.device();
        let norm = |head: &[f32]| crate::host::sum(head, |x| x * x).sqrt();
        let norms = hold(x).par_chunks(head_dim).with_min_len(256).map(norm).collect();
        return give(norms, [tokens, heads], &device);
    }
    norms_on_device(x, heads)
}

/// The reference, and the path of every other device.
fn norms_on_device(x: Tensor<2>, heads: usize) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let squares = x.cast(DType::F32).reshape([tokens, heads, width / heads]).square();
    squares.sum_dim(2).sqrt().reshape([tokens, heads])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    /// The formulas as they are written, in f64, two passes.
    fn plain(x: &[f32], samples: usize, seq: usize, channels: usize) -> Vec<[Vec<f64>; 3]> {
        let of = |s: usize, c: usize| -> Vec<f64> {
            (0..seq).map(|p| f64::from(x[(s * seq + p) * channels + c])).collect()
        };
        let n = seq as f64;
        let one =
            |s: usize, f: &dyn Fn(Vec<f64>) -> f64| (0..channels).map(|c| f(of(s, c))).collect();
        (0..samples)
            .map(|s| {
                [
                    one(s, &|x| x.iter().map(|x| x.abs()).sum::<f64>() / n),
                    one(s, &|x| x.iter().map(|x| x * x).sum::<f64>().sqrt()),
                    one(s, &|x| {
                        let mean = x.iter().sum::<f64>() / n;
                        x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n
                    }),
                ]
            })
            .collect()
    }

    #[test]
    fn sums_are_the_plain_formulas_on_host_and_as_tensors_and_micro_batches_add_up() {
        let (samples, seq, channels) = (6, 10, 7);
        let x = random([samples * seq, channels], 1) * 2.0 + 0.5;
        let plain = plain(&take(x.clone()), samples, seq, channels);
        let mut expected = Vec::new();
        for aggregate in 0..3 {
            for power in [1, 2] {
                let sum = |c: usize| plain.iter().map(|s| s[aggregate][c].powi(power)).sum::<f64>();
                expected.push((0..channels).map(sum).collect::<Vec<f64>>());
            }
        }
        let whole = sample_sums(x.clone(), samples);
        let mut parts = sample_sums(x.clone().narrow(0, 0, 20), 2);
        parts.add(&sample_sums(x.clone().narrow(0, 20, 40), 4));
        let mut tensors = SampleSums::zeros(channels);
        for sample in on_device(x, samples, seq) {
            tensors.mean.push(&sample.mean);
            tensors.l2.push(&sample.l2);
            tensors.variance.push(&sample.variance);
        }
        for (found, tolerance) in [(whole, 1e-13), (parts, 1e-13), (tensors, 1e-6)] {
            for ((name, found), expected) in found.named().into_iter().zip(&expected) {
                for (found, expected) in found.iter().zip(expected) {
                    let off = (found - expected).abs() / expected;
                    assert!(off < tolerance, "{name}: {found} and {expected}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_shows_in_every_sum() {
        let x = random([4, 2], 1).slice_fill([1..2, 1..2], f32::NAN);
        for (name, sums) in sample_sums(x, 2).named() {
            assert_eq!(
                sums.iter().map(|s| s.is_nan()).collect::<Vec<_>>(),
                [false, true],
                "{name}"
            );
        }
    }

    #[test]
    fn a_heads_norm_is_that_of_its_channels() {
        let x = random([5, 6], 3);
        for norms in [head_norms(x.clone(), 2), norms_on_device(x.clone(), 2)] {
            assert_eq!(norms.dims(), [5, 2]);
            for (found, head) in take(norms).iter().zip(take(x.clone()).chunks(3)) {
                let expected = head.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                assert!((f64::from(*found) - expected).abs() < 1e-6 * expected);
            }
        }
    }
}
