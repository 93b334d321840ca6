//! What layers are worth: alone, and as contiguous blocks.
//!
//! | | of a gap `i .. i + n` | |
//! |---|---|---|
//! | `perplexity` | the cross-entropy without it, less that with it | arXiv:2407.14679, section 2.2; arXiv:2408.11796 |
//! | `block_importance` | `1 − E cos(X_i, X_{i+n})` | ShortGPT, arXiv:2403.03853; over blocks: arXiv:2403.17887 |
//! | `logit_error` | `Σ‖logits − logits without it‖² / Σ‖logits‖²` | |
//!
//! [`walk`] measures all three in one pass, [`sums`] adds them up and keeps them, [`choice`] picks the layers that go.

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
}

impl Depth {
    /// The word of a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Perplexity => "perplexity",
            Self::BlockImportance => "block_importance",
            Self::LogitError => "logit_error",
        }
    }
}

/// The gaps that are measured: every layer alone, then every block of `dropped` layers, if that is more than one.
pub fn gaps(layers: usize, dropped: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = if dropped > 1 { 0..(layers + 1).saturating_sub(dropped) } else { 0..0 };
    (0..layers).map(|i| i..i + 1).chain(blocks.map(move |i| i..i + dropped))
}

/// Layers that run for one micro-batch: all of them once, and for each gap those after it. Against a pass for each gap,
/// which is `layers − dropped` layers a gap, what lies before a gap is not computed again.
#[must_use]
pub fn layer_forwards(layers: usize, dropped: usize) -> usize {
    layers + gaps(layers, dropped).map(|gap| layers - gap.end).sum::<usize>()
}
