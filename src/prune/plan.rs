//! What is kept: a pure function of scores and sizes, as TOML that a person can read, compare and edit.
//!
//! ```toml
//! schema = 1
//! teacher = "9f2c…"           # of which model, and by which scores: refused where they differ; a plan may have neither
//! scores = "01ab…"
//! head_add_back = "plus"      # only if it is used
//! norm_gain = 0.97            # likewise: what γ of the final norm is multiplied by
//! hidden = [0, 2, 5]          # channels of the residual stream
//!
//! [[layers]]
//! source = 0                  # the teacher's layer
//! heads = [0, 1, 4, 5]        # query heads, group by group, as many of each
//! neurons = [3, 4, 7]
//! kv_groups = [[0, 1], [2, 3]]        # only if used: the key-value heads that become one, by their mean
//! add_back = [[1, 2], [5, 6]]         # only if used: a query head that stays, and the one whose queries go into it
//! norm_gains = [0.98, 1.01]           # only if used: γ of the input and of the post-attention norm
//! ```
//!
//! A list says in which order the student has them. [`choose`](super::choose) writes them ascending; any order is the
//! same model, as long as the heads stand group by group.

use serde::{Deserialize, Serialize};

use super::add_back::HeadAddBack;
use crate::model::ModelConfig;

/// The version of the format.
pub const SCHEMA: u32 = 1;

/// What is kept of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrunePlan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The digest of the model that it is a plan of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// The digest of the scores that it was chosen by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// What becomes of [`LayerPlan::add_back`].
    #[serde(default, skip_serializing_if = "HeadAddBack::is_off")]
    pub head_add_back: HeadAddBack,
    /// Multiplies γ of the final norm; see [`residual`](super::residual).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_gain: Option<f64>,
    /// Channels of the residual stream.
    pub hidden: Vec<usize>,
    /// Of the student, in order.
    pub layers: Vec<LayerPlan>,
}

/// What is kept of one layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerPlan {
    /// The teacher's layer.
    pub source: usize,
    /// Query heads.
    pub heads: Vec<usize>,
    /// Neurons.
    pub neurons: Vec<usize>,
    /// The teacher's key-value heads, as the student's are made of them; each its own, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_groups: Option<Vec<Vec<usize>>>,
    /// Pairs of a query head that stays and one that goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_back: Vec<[usize; 2]>,
    /// Multiply γ of `input_layernorm` and of `post_attention_layernorm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_gains: Option<[f64; 2]>,
}

impl LayerPlan {
    /// The teacher's key-value heads that each of the student's is the mean of.
    #[must_use]
    pub fn groups(&self, teacher: &ModelConfig) -> Vec<Vec<usize>> {
        match &self.kv_groups {
            Some(groups) => groups.clone(),
            None => (0..teacher.num_key_value_heads).map(|head| vec![head]).collect(),
        }
    }
}

impl PrunePlan {
    /// Everything is kept.
    #[must_use]
    pub fn whole(teacher: &ModelConfig) -> Self {
        let layer = |source| LayerPlan {
            source,
            heads: (0..teacher.num_attention_heads).collect(),
            neurons: (0..teacher.intermediate_size).collect(),
            ..LayerPlan::default()
        };
        Self {
            schema: SCHEMA,
            hidden: (0..teacher.hidden_size).collect(),
            layers: (0..teacher.num_hidden_layers).map(layer).collect(),
            ..Self::default()
        }
    }

    /// The student's shape.
    #[must_use]
    pub fn student(&self, teacher: &ModelConfig) -> ModelConfig {
        let first = self.layers.first();
        ModelConfig {
            hidden_size: self.hidden.len(),
            intermediate_size: first.map_or(teacher.intermediate_size, |l| l.neurons.len()),
            num_attention_heads: first.map_or(teacher.num_attention_heads, |l| l.heads.len()),
            num_key_value_heads: first
                .map_or(teacher.num_key_value_heads, |l| l.groups(teacher).len()),
            num_hidden_layers: self.layers.len(),
            ..teacher.clone()
        }
    }
}
