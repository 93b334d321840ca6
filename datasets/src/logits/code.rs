//! Numbers of a cache: log-probabilities as small integers.
//!
//! Scalars of a token (the first entry's log-probability, the tail's mass, …) are multiples of 1/2048 nat in 16 bits:
//! `x = -n / 2048`, with an error of at most 2.4e-4 nats anywhere in the range of 32, and 65535 stands for the logarithm of
//! zero. What comes after the first entry is coded by its distance from it, see [`ValueCode`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many steps a nat has.
pub const STEPS: f64 = 2048.0;
/// The number that stands for a mass of zero.
pub(super) const NOTHING: u32 = 0xffff;

/// The number of a logarithm that is not above zero; what lies below 32 nats is put there.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in 0..=65534")]
pub(super) fn to_steps(log: f64) -> u32 {
    if log == f64::NEG_INFINITY {
        return NOTHING;
    }
    (-log * STEPS).round().clamp(0.0, f64::from(NOTHING - 1)) as u32
}

/// The logarithm of a number.
#[expect(clippy::cast_possible_truncation, reason = "16 bits fit in an f32")]
pub(super) fn from_steps(steps: u32) -> f32 {
    if steps >= NOTHING { f32::NEG_INFINITY } else { (f64::from(steps) / -STEPS) as f32 }
}

/// By which numbers the entries after the first are stored.
///
/// The entries of a token are sorted, so their codes rise; the file holds first differences, `step[r] = c[r] - c[r-1]`
/// with `c[0] = 0`, which compress to some three bits each.
///
/// | code | value of `c` | range | quantisation |
/// |---|---|---|---|
/// | `sqrt8` | `log p = log p₁ - 18 (c / 255)²` | 18 nats | finest where the mass is; KL about 4e-5 nats |
/// | `fixed16` | `log p = log p₁ - c / 2048` | 32 nats | 2.4e-4 nats everywhere; KL about 1e-8 |
///
/// What is farther from the first entry than the range is stored at its end. `fixed16` is what the format's `exact` profile
/// has in the place of half floats: their steps are as large as 2⁻⁷ nats where log-probabilities lie between 8 and 16,
/// and sorted integers have differences, which compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueCode {
    /// Eight bits, the square root of the distance.
    Sqrt8,
    /// Sixteen bits, the distance.
    Fixed16,
}

/// A table of what each code of eight bits takes away.
pub(super) type Table = [f32; 256];

impl ValueCode {
    /// The largest code.
    pub fn levels(self) -> u32 {
        match self {
            Self::Sqrt8 => 255,
            Self::Fixed16 => 65_535,
        }
    }

    /// How far from the first entry a code lies, in nats.
    pub fn distance(self, code: u32) -> f64 {
        match self {
            Self::Sqrt8 => 18.0 * (f64::from(code) / 255.0).powi(2),
            Self::Fixed16 => f64::from(code) / STEPS,
        }
    }

    /// The code that lies nearest to a distance.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in 0..=levels")]
    pub fn code(self, distance: f64) -> u32 {
        let distance = distance.max(0.0);
        match self {
            Self::Fixed16 => (distance * STEPS).round().min(65_535.0) as u32,
            Self::Sqrt8 => {
                let below = ((distance / 18.0).sqrt() * 255.0).floor().min(255.0) as u32;
                let middle = f64::midpoint(self.distance(below), self.distance(below + 1));
                (below + u32::from(distance > middle)).min(255)
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a table of f32")]
    pub(super) fn table(self) -> Table {
        std::array::from_fn(|code| self.distance(u32::try_from(code).unwrap_or(0)) as f32)
    }

    /// The value in SQL, of an expression for the code.
    pub(super) fn sql(self, code: &str) -> String {
        match self {
            Self::Sqrt8 => format!("18.0 * pow(({code}) / 255.0, 2)"),
            Self::Fixed16 => format!("({code}) / 2048.0"),
        }
    }
}

impl fmt::Display for ValueCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqrt8 => "sqrt8",
            Self::Fixed16 => "fixed16",
        })
    }
}

impl FromStr for ValueCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sqrt8" => Ok(Self::Sqrt8),
            "fixed16" => Ok(Self::Fixed16),
            _ => Err(format!("`{text}` is no value code: expected `sqrt8` or `fixed16`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_nearest_to_what_it_stands_for_and_to_no_other() {
        for code in [ValueCode::Sqrt8, ValueCode::Fixed16] {
            for c in 0..=code.levels() {
                assert_eq!(code.code(code.distance(c)), c);
            }
            for n in 0..100_000 {
                let distance = f64::from(n) * 17.9 / 100_000.0;
                let c = code.code(distance);
                let error = |c: u32| (code.distance(c) - distance).abs();
                assert!(error(c) <= error(c + 1) + 1e-12, "{code} {distance}");
                assert!(c == 0 || error(c) <= error(c - 1) + 1e-12, "{code} {distance}");
            }
            assert_eq!(code.code(1e9), code.levels());
            assert_eq!(code.code(-1e-3), 0);
            assert_eq!(code.to_string().parse(), Ok(code));
        }
    }

    #[test]
    fn steps_hold_logarithms_of_masses_to_a_quarter_of_a_thousandth_and_know_zero() {
        for n in 0..31_000 {
            let log = -f64::from(n) / 1000.0;
            assert!((f64::from(from_steps(to_steps(log))) - log).abs() < 2.5e-4);
        }
        assert_eq!(from_steps(to_steps(f64::NEG_INFINITY)), f32::NEG_INFINITY);
        assert!(from_steps(to_steps(-1e6)) > f32::NEG_INFINITY, "a mass is not lost to the range");
        assert_eq!(to_steps(1e-7), 0);
    }
}
