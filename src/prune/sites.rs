//! Where in a layer importance looks: NVIDIA's code and its paper do not agree.
//!
//! | | `nvidia` (ModelOpt, `mcore_minitron.py`) | `paper` (arXiv:2407.14679, section 2.2) |
//! |---|---|---|
//! | residual channels | outputs of both norms of a layer | the same |
//! | neurons | inputs of `down_proj`: after the gate | `X W₁`, before the activation: outputs of `gate_proj` |
//! | heads | inputs of `o_proj`, aggregated by channel, then the L2 norm over `head_dim` | the L2 norm of a head's output at each position, then aggregated |

use serde::{Deserialize, Serialize};

use crate::model::ModelConfig;

/// Whose sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sites {
    /// NVIDIA's code's.
    #[default]
    Nvidia,
    /// The paper's.
    Paper,
}

impl Sites {
    /// The word of a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Paper => "paper",
        }
    }

    /// The sites of a word.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Nvidia, Self::Paper].into_iter().find(|sites| sites.name() == name)
    }

    /// Values of attention's output that are looked at, a layer.
    #[must_use]
    pub fn attention_values(self, config: &ModelConfig) -> usize {
        match self {
            Self::Nvidia => config.num_attention_heads * config.head_dim,
            Self::Paper => config.num_attention_heads,
        }
    }
}
