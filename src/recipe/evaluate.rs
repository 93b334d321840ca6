//! `[evaluate]`: what evaluation reads.

use serde::{Deserialize, Serialize};

/// Held-out sequences, unless `sequences` says otherwise.
pub const DEFAULT_SEQUENCES: u64 = 64;
/// Sequences of one forward pass, unless `batch` says otherwise.
pub const DEFAULT_BATCH: u64 = 8;

/// How much held-out text is read, and how much of it at once; and what else the models are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evaluate {
    /// Held-out sequences; with none, where nothing is trained, no model is evaluated.
    pub sequences: u64,
    /// Sequences of one forward pass.
    pub batch: u64,
    /// Multiple-choice items: JSON lines of `{"context", "choices", "answer"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<String>,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self { sequences: DEFAULT_SEQUENCES, batch: DEFAULT_BATCH, choices: None }
    }
}
