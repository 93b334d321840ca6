//! What layers are worth: alone, and as contiguous blocks.
//!
//! | | of a gap `i .. i + n` | |
//! |---|---|---|
//! | `perplexity` | the cross-entropy without it, less that with it | arXiv:2407.14679, section 2.2; arXiv:2408.11796 |
//! | `block_importance` | `1 − E cos(X_i, X_{i+n})` | ShortGPT, arXiv:2403.03853; over blocks: arXiv:2403.17887 |
//! | `logit_error` | `Σ‖logits − logits without it‖² / Σ‖logits‖²` | |
//! | `task` | the share of multiple-choice items that are right with it, less that without it | arXiv:2408.11796, figure 9 |
//!
//! [`walk`] measures the first three in one pass over text, and the last in one over items; [`sums`] adds up,
//! [`at_rest`] keeps, [`choice`] picks the layers that go.

pub mod at_rest;
pub mod choice;
pub mod sums;
pub mod walk;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use sums::{DepthSums, Removed};

/// What layers are scored by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// The cross-entropy without them.
    #[default]
    Perplexity,
    /// How little they turn the stream.
    BlockImportance,
    /// How far they move the logits.
    LogitError,
    /// The answers without them to multiple-choice items.
    Task,
}

impl Depth {
    /// The word of a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Perplexity => "perplexity",
            Self::BlockImportance => "block_importance",
            Self::LogitError => "logit_error",
            Self::Task => "task",
        }
    }
}

/// The gaps that are measured: every layer alone, then every block of each of `lengths` that is more than one layer.
/// So one pass serves a search over how many layers go.
pub fn gaps(layers: usize, lengths: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let blocks = lengths.iter().copied().filter(|length| *length > 1).flat_map(move |length| {
        (0..(layers + 1).saturating_sub(length)).map(move |i| i..i + length)
    });
    (0..layers).map(|i| i..i + 1).chain(blocks)
}

/// Layers that run for one micro-batch: all of them once, and for each gap those after it. Against a pass for each gap,
/// which is `layers − length` layers a gap, what lies before a gap is not computed again.
#[must_use]
pub fn layer_forwards(layers: usize, lengths: &[usize]) -> usize {
    layers + gaps(layers, lengths).map(|gap| layers - gap.end).sum::<usize>()
}
