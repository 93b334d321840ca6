//! `[prune]`: the student's shape, and what importance is measured on.

use serde::{Deserialize, Serialize};

use super::size::Size;

/// Shares are rounded to a multiple of this, unless `round_to` says otherwise.
pub const DEFAULT_ROUND_TO: usize = 8;
/// Sequences that importance is measured on: both papers'.
pub const DEFAULT_CALIBRATION_SEQUENCES: u64 = 1024;
/// Sequences of one calibration pass.
pub const DEFAULT_CALIBRATION_BATCH: u64 = 4;

/// What is cut. A size that is absent stays the teacher's; `num_key_value_heads` and `head_dim` always do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prune {
    /// Width of the residual stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<Size>,
    /// Neurons of one MLP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<Size>,
    /// Query heads; a multiple of the teacher's `num_key_value_heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_attention_heads: Option<Size>,
    /// Layers that go, counted from 0.
    pub drop_layers: Vec<usize>,
    /// Shares of `hidden_size` and `intermediate_size` are rounded to the nearest multiple of this.
    pub round_to: usize,
    /// Sequences that importance is measured on.
    pub calibration_sequences: u64,
    /// Sequences of one calibration pass.
    pub calibration_batch: u64,
}

impl Default for Prune {
    fn default() -> Self {
        Self {
            hidden_size: None,
            intermediate_size: None,
            num_attention_heads: None,
            drop_layers: Vec::new(),
            round_to: DEFAULT_ROUND_TO,
            calibration_sequences: DEFAULT_CALIBRATION_SEQUENCES,
            calibration_batch: DEFAULT_CALIBRATION_BATCH,
        }
    }
}
