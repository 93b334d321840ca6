//! `[losses.<name>]`: what distillation minimises.

use serde::{Deserialize, Serialize};

/// Weight of the forward KL divergence: the papers' only loss.
pub const DEFAULT_FORWARD_KL_WEIGHT: f64 = 1.0;
/// Temperature of the forward KL divergence: the papers'.
pub const DEFAULT_TEMPERATURE: f64 = 1.0;
/// Weight of the cross-entropy with the text: none, as in the papers.
pub const DEFAULT_CROSS_ENTROPY_WEIGHT: f64 = 0.0;

/// The losses, each with its weight; a weight of nought leaves one out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Losses {
    /// KL(teacher ‖ student) over the whole vocabulary.
    pub forward_kl: ForwardKl,
    /// Cross-entropy with the next token of the text.
    pub cross_entropy: CrossEntropy,
}

/// KL(teacher ‖ student).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardKl {
    /// Its share of the sum.
    pub weight: f64,
    /// Both logits are divided by this.
    pub temperature: f64,
}

impl Default for ForwardKl {
    fn default() -> Self {
        Self { weight: DEFAULT_FORWARD_KL_WEIGHT, temperature: DEFAULT_TEMPERATURE }
    }
}

/// Cross-entropy with the next token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropy {
    /// Its share of the sum.
    pub weight: f64,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self { weight: DEFAULT_CROSS_ENTROPY_WEIGHT }
    }
}
