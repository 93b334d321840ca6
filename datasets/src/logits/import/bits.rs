//! The bytes of a token, as DistillKit packs them.
//!
//! ```text
//! values    exact floats   coefficients   then for each bin: scale, residuals of its width, filled up to a byte
//! indices   ids of as many bits as the vocabulary needs
//! ```
//!
//! Floats are little-endian; packed numbers begin with their highest bit. An entry after the exact ones is what the curve
//! has in its place, in the coefficients' own precision, and the residual that its bin has for it.

use super::config::{DistillKit, Float, Term};

/// The entries of a token: ids and log-probabilities, in the order in which they are stored.
///
/// # Errors
/// What does not fit the configuration.
pub fn decode(
    config: &DistillKit,
    values: &[u8],
    indices: &[u8],
) -> Result<Vec<(u32, f32)>, String> {
    let fits = |what: &str, expected: usize, found: usize| {
        let text = || format!("a token has {found} bytes of {what}, expected {expected}");
        (expected == found).then_some(()).ok_or_else(text)
    };
    fits("values", config.value_bytes(), values.len())?;
    let id_bytes = (config.k * config.id_bits() as usize).div_ceil(8);
    fits("indices", id_bytes, indices.len())?;
    let mut ids = Bits::new(indices);
    let ids = (0..config.k).map(|_| ids.take(config.id_bits()));
    Ok(ids.zip(log_probs(config, values)).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "sums of single precision, as theirs are")]
fn log_probs(config: &DistillKit, values: &[u8]) -> Vec<f32> {
    let (exact, mut rest) = values.split_at(config.exact_k * config.exact.bytes());
    let mut all: Vec<f32> = floats(config.exact, exact);
    let coefficients;
    (coefficients, rest) = rest.split_at(config.terms.len() * config.term.bytes());
    let coefficients = floats(config.term, coefficients);
    let mut residuals = Vec::new();
    for bin in &config.bins {
        let (scale, packed);
        (scale, rest) = rest.split_at(bin.scale.bytes());
        (packed, rest) = rest.split_at((bin.entries * bin.bits as usize).div_ceil(8));
        let scale = floats(bin.scale, scale).first().copied().unwrap_or(0.0);
        let mut bits = Bits::new(packed);
        for _ in 0..bin.entries {
            let stored = f64::from(bits.take(bin.bits));
            let number = match bin.bits {
                1 => 2.0 * stored - 1.0,
                bits => stored - f64::from(bits - 1).exp2(),
            };
            residuals.push(number as f32 * scale);
        }
    }
    let places = config.k - config.exact_k;
    residuals.resize(places, 0.0);
    for (place, residual) in residuals.iter().enumerate() {
        let t = match (config.normalize, places) {
            (true, 2..) => place as f32 / (places - 1) as f32,
            (true, _) => 0.0,
            (false, _) => place as f32,
        };
        let round = |x: f32| rounded(config.term, x);
        let t = round(t);
        let terms = config.terms.iter().zip(&coefficients).map(|(term, coefficient)| {
            let x = match term {
                Term::Power(power) => t.powi(*power),
                Term::Sqrt => t.sqrt(),
                Term::Exp => t.exp(),
            };
            round(round(x) * coefficient)
        });
        all.push(round(terms.sum::<f32>()) + residual);
    }
    if config.delta {
        let mut sum = 0.0;
        for value in &mut all {
            sum += *value;
            *value = sum;
        }
    }
    all
}

/// Floats of a type, as single precision.
#[expect(clippy::cast_possible_truncation, reason = "log-probabilities need no double precision")]
fn floats(of: Float, bytes: &[u8]) -> Vec<f32> {
    let number = |bytes: &[u8]| match (of, bytes) {
        (Float::F16, [a, b]) => half(u16::from_le_bytes([*a, *b])),
        (Float::Bf16, [a, b]) => f32::from_bits(u32::from(u16::from_le_bytes([*a, *b])) << 16),
        (Float::F32, [a, b, c, d]) => f32::from_le_bytes([*a, *b, *c, *d]),
        (Float::F64, bytes) => bytes.try_into().map_or(0.0, |b| f64::from_le_bytes(b) as f32),
        _ => 0.0,
    };
    bytes.chunks_exact(of.bytes()).map(number).collect()
}

/// A half float: sign, five bits of exponent, ten of fraction.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * (-24f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// What a number is in a type: rounded to nearest, to even.
fn rounded(to: Float, x: f32) -> f32 {
    let keep = |bits: u32| {
        let raw = x.to_bits();
        let half = (1_u32 << (bits - 1)) - 1 + (raw >> bits & 1);
        f32::from_bits((raw.wrapping_add(half) >> bits) << bits)
    };
    match to {
        Float::F32 | Float::F64 => x,
        Float::Bf16 if x.is_finite() => keep(16),
        Float::F16 if x.abs() >= 65_520.0 => f32::INFINITY.copysign(x),
        Float::F16 if x.abs() >= 6.103_515_6e-5 => keep(13),
        // Below the normal numbers the steps are all the same.
        Float::F16 => (x * 24f32.exp2()).round_ties_even() * (-24f32).exp2(),
        Float::Bf16 => x,
    }
}

/// Numbers of some bits each, the highest bit first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next number; bits beyond the end are zero.
    fn take(&mut self, bits: u32) -> u32 {
        let mut number = 0;
        for _ in 0..bits {
            let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
            number = number << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        number
    }
}
