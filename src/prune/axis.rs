//! What may be cut: a closed set. `head_dim` is not in it, because the rotary embedding pairs its channels.
//!
//! | axis | ranked | cut from |
//! |---|---|---|
//! | `hidden_size` | once for the whole network: the residual stream has one index set | every tensor |
//! | `intermediate_size` | in each layer | rows of gate and up, columns of down |
//! | `num_attention_heads` | in each layer, inside each key-value group | rows of q, columns of o |
//! | `num_key_value_heads` | not at all: neighbours are merged into their mean | rows of k and v |
//! | `num_hidden_layers` | given by the recipe (`prune.drop_layers`), or each layer and block ([`depth`](super::depth)) | whole layers |

use serde::{Deserialize, Serialize};

/// A direction in which a model is made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Channels of the residual stream.
    HiddenSize,
    /// Neurons of the MLPs.
    IntermediateSize,
    /// Query heads; every key-value group keeps as many.
    NumAttentionHeads,
    /// Key and value heads: several are merged into one, and the query heads of all of them stay.
    NumKeyValueHeads,
    /// Whole layers.
    NumHiddenLayers,
}

impl Axis {
    /// Its name in recipes, plans and score files: that of the size in `config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HiddenSize => "hidden_size",
            Self::IntermediateSize => "intermediate_size",
            Self::NumAttentionHeads => "num_attention_heads",
            Self::NumKeyValueHeads => "num_key_value_heads",
            Self::NumHiddenLayers => "num_hidden_layers",
        }
    }
}
