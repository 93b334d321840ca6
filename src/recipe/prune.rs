//! `[prune]`: the student's shape, and what importance is measured on.

use serde::{Deserialize, Serialize};

use super::size::Size;
pub use crate::prune::{Aggregation, Aggregations, Depth, HeadAddBack, Score, Sites};

/// Shares are rounded to a multiple of this, unless `round_to` says otherwise.
pub const DEFAULT_ROUND_TO: usize = 8;
/// Sequences that importance is measured on: both papers'.
pub const DEFAULT_CALIBRATION_SEQUENCES: u64 = 1024;
/// Sequences of one calibration pass.
pub const DEFAULT_CALIBRATION_BATCH: u64 = 4;

/// What is cut. A size that is absent stays the teacher's; `head_dim` always does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prune {
    /// The model that is cut, a Hugging Face directory: such as another run's student, of which a still smaller one is
    /// made that learns from the same teacher. The teacher, if absent. Shares are of its sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A plan of one's own: a `plan.toml`, changed by hand or composed, in the place of scores and sizes. What the
    /// other keys say must agree with it, and nothing is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Width of the residual stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<Size>,
    /// Neurons of one MLP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<Size>,
    /// Query heads; a multiple of `num_key_value_heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_attention_heads: Option<Size>,
    /// Key and value heads; a number that divides the teacher's: neighbours are merged into their mean. With depth,
    /// the one way to a smaller KV cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_key_value_heads: Option<Size>,
    /// Layers that stay; which, is searched for. Instead of `drop_layers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_hidden_layers: Option<Size>,
    /// Layers that go, counted from 0.
    pub drop_layers: Vec<usize>,
    /// Shares of `hidden_size` and `intermediate_size` are rounded to the nearest multiple of this: 8 is the least
    /// that 16-bit matrix units take without padding, 32 the least for 8-bit ones, 64 one tile of their kernels and 128
    /// the common one, and 256 keeps whole tiles when a matrix is split over two devices. Larger multiples run faster
    /// a parameter, smaller ones come nearer to the share.
    pub round_to: usize,
    /// Whether the queries of heads that go are added to those of heads that stay, and with which sign.
    #[serde(skip_serializing_if = "HeadAddBack::is_off")]
    pub head_add_back: HeadAddBack,
    /// Whether the norms' γ make up for the channels that go.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub norm_compensation: bool,
    /// Sequences that importance is measured on.
    pub calibration_sequences: u64,
    /// Sequences of one calibration pass.
    pub calibration_batch: u64,
    /// Times that importance is measured: after the first, of the model that is cut a part of the way.
    #[serde(skip_serializing_if = "is_one")]
    pub importance_steps: u64,
    /// What channels, neurons and heads are scored by.
    #[serde(skip_serializing_if = "is_default")]
    pub score: Score,
    /// Where activations are looked at.
    #[serde(skip_serializing_if = "is_default")]
    pub sites: Sites,
    /// How activations become one number over the positions of a sequence.
    #[serde(skip_serializing_if = "is_mean")]
    pub sequence_aggregation: Aggregation,
    /// How those become one number over the sequences.
    #[serde(skip_serializing_if = "is_l2")]
    pub batch_aggregation: Aggregation,
    /// `scores/sums.parquet` of another run of this teacher: then nothing is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
    /// What layers are scored by, where `num_hidden_layers` has them searched for.
    #[serde(skip_serializing_if = "is_default")]
    pub depth: Depth,
    /// The multiple-choice items of `depth = "task"`: JSON lines of `{"context", "choices", "answer"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_task: Option<String>,
    /// Whether the layers that go follow one another.
    #[serde(skip_serializing_if = "is_true")]
    pub depth_contiguous: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_true(value: &bool) -> bool {
    *value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_one(value: &u64) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_mean(aggregation: &Aggregation) -> bool {
    *aggregation == Aggregation::Mean
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_l2(aggregation: &Aggregation) -> bool {
    *aggregation == Aggregation::L2
}

impl Prune {
    /// How activations become scores.
    #[must_use]
    pub fn aggregations(&self) -> Aggregations {
        Aggregations { sequence: self.sequence_aggregation, batch: self.batch_aggregation }
    }

    /// Sequences that the teacher reads for the scores: none where weights alone score, or another run measured.
    #[must_use]
    pub fn observed_sequences(&self) -> u64 {
        let measures =
            self.norm_compensation || (self.score.observes() && self.importance.is_none());
        if measures { self.calibration_sequences } else { 0 }
    }
}

impl Default for Prune {
    fn default() -> Self {
        Self {
            model: None,
            plan: None,
            hidden_size: None,
            intermediate_size: None,
            num_attention_heads: None,
            num_key_value_heads: None,
            num_hidden_layers: None,
            drop_layers: Vec::new(),
            round_to: DEFAULT_ROUND_TO,
            head_add_back: HeadAddBack::Off,
            norm_compensation: false,
            calibration_sequences: DEFAULT_CALIBRATION_SEQUENCES,
            calibration_batch: DEFAULT_CALIBRATION_BATCH,
            importance_steps: 1,
            score: Score::default(),
            sites: Sites::default(),
            sequence_aggregation: Aggregations::default().sequence,
            batch_aggregation: Aggregations::default().batch,
            importance: None,
            depth: Depth::default(),
            depth_task: None,
            depth_contiguous: true,
        }
    }
}
