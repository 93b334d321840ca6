//! How many values become one: over the positions of a sample, and over the samples.
//!
//! Muralidharan et al. 2024, arXiv:2407.14679, section 2.2, over `S_1 … S_n`: mean `(1/n) Σ|S_i|`, L2 norm `√Σ S_i²`,
//! variance `(1/n) Σ (S_i − S̄)²`. The papers chose the mean over the sequence and the L2 norm over the samples.

use kernels::importance::{Moments, SampleSums};
use serde::{Deserialize, Serialize};

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Of absolute values.
    Mean,
    /// The root of the sum of squares.
    L2,
    /// The mean squared distance from the mean.
    Variance,
}

/// One of the nine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregations {
    /// Over the positions of a sample.
    pub sequence: Aggregation,
    /// Over the samples.
    pub batch: Aggregation,
}

impl Default for Aggregations {
    fn default() -> Self {
        Self { sequence: Aggregation::Mean, batch: Aggregation::L2 }
    }
}

impl Aggregation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mean, Self::L2, Self::Variance];

    /// The word of a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::L2 => "l2",
            Self::Variance => "variance",
        }
    }
}

impl Aggregations {
    /// A score a channel, from sums over this many samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "samples are far below 2^53")]
    pub fn scores(self, sums: &SampleSums, samples: u64) -> Vec<f64> {
        let Moments { sum, squares } = match self.sequence {
            Aggregation::Mean => &sums.mean,
            Aggregation::L2 => &sums.l2,
            Aggregation::Variance => &sums.variance,
        };
        let n = samples as f64;
        // What a sample gives is never negative, so its absolute value is itself.
        let score = |(sum, squares): (&f64, &f64)| match self.batch {
            Aggregation::Mean => sum / n,
            Aggregation::L2 => squares.sqrt(),
            Aggregation::Variance => {
                let mean = sum / n;
                let variance = squares / n - mean * mean;
                if variance < 0.0 { 0.0 } else { variance }
            }
        };
        sum.iter().zip(squares).map(score).collect()
    }
}
