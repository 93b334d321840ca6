//! The rotary frequencies of a configuration.

use std::f64::consts::TAU;

use super::config::{Llama3Rope, ModelConfig};

/// `θ^(−2i / head_dim)` for each pair of channels, in radians a position, stretched as Llama 3.1 does.
///
/// Where the wavelength exceeds `original / low_freq_factor`, the frequency is divided by `factor`; where it
/// is below `original / high_freq_factor`, it stays; between, the two are mixed linearly in
/// `original / wavelength` (transformers' `_compute_llama3_parameters`).
#[must_use]
pub fn frequencies(config: &ModelConfig) -> Vec<f64> {
    let dim = config.head_dim as f64;
    (0..config.head_dim / 2)
        .map(|i| config.rope_theta.powf(-2.0 * i as f64 / dim))
        .map(|frequency| config.rope_scaling.map_or(frequency, |s| stretch(frequency, &s)))
        .collect()
}

fn stretch(frequency: f64, s: &Llama3Rope) -> f64 {
    let turns = s.original_max_position_embeddings * frequency / TAU;
    let smooth = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    let smooth = smooth.clamp(0.0, 1.0);
    (1.0 - smooth) * frequency / s.factor + smooth * frequency
}
