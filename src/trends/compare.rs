//! When a difference over some seeds is one.
//!
//! Differences are paired by seed. Of `n` the mean counts as different from zero if it is more than
//! `t(n − 1) · sd / √n`, `t` being Student's one-sided 95 % quantile; and as the claim only if it is more than the
//! margin that the claim names.

use serde::{Deserialize, Serialize};

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As the papers say.
    Reproduced,
    /// No difference that is one, or less than the claim names.
    NotReproduced,
    /// The other way round.
    Opposite,
}

impl Verdict {
    /// For people.
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced at this size",
            Self::Opposite => "opposite at this size",
        }
    }
}

/// Mean and standard deviation (of the sample: `n − 1`) of some values.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "seeds are few")]
pub fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

/// Student's one-sided 95 % quantile for `n` values; none for one, of which no spread is known.
fn quantile(n: usize) -> f64 {
    const QUANTILES: [f64; 9] = [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833];
    n.checked_sub(2).map_or(0.0, |i| QUANTILES.get(i).copied().unwrap_or(1.833))
}

/// Whether losses of one arm are less than those of another by more than `margin`, seed by seed.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "seeds are few")]
pub fn less(better: &[f64], worse: &[f64], margin: f64) -> Verdict {
    let gained: Vec<f64> = worse.iter().zip(better).map(|(worse, better)| worse - better).collect();
    let (mean, sd) = mean_sd(&gained);
    let noise = quantile(gained.len()) * sd / (gained.len() as f64).sqrt();
    if mean > noise && mean > margin {
        Verdict::Reproduced
    } else if -mean > noise && -mean > margin {
        Verdict::Opposite
    } else {
        Verdict::NotReproduced
    }
}

/// Reproduced only if both are, opposite only if both are.
#[must_use]
pub fn both(a: Verdict, b: Verdict) -> Verdict {
    if a == b { a } else { Verdict::NotReproduced }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_within_the_spread_of_seeds_is_none() {
        let verdict =
            |gains: [f64; 3], margin| less(&[1.0; 3], &gains.map(|gain| 1.0 + gain), margin);
        assert_eq!(verdict([0.5, 0.6, 0.55], 0.3), Verdict::Reproduced);
        assert_eq!(verdict([0.5, 0.6, 0.55], 0.6), Verdict::NotReproduced);
        assert_eq!(verdict([-0.5, -0.6, -0.55], 0.0), Verdict::Opposite);
        // Mean 0.1, sd 0.1, noise 2.92 · 0.1 / √3 = 0.169.
        assert_eq!(verdict([0.0, 0.1, 0.2], 0.0), Verdict::NotReproduced);
        assert_eq!(verdict([0.2, 0.3, 0.4], 0.0), Verdict::Reproduced);
    }

    #[test]
    fn one_seed_has_no_spread() {
        let (mean, sd) = mean_sd(&[2.0]);
        assert!((mean - 2.0).abs() < 1e-12 && sd.abs() < 1e-12);
        assert_eq!(less(&[1.0], &[1.1], 0.0), Verdict::Reproduced);
        let (mean, sd) = mean_sd(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (sd - 1.0).abs() < 1e-12);
    }
}
