//! `[capture]`: what the teacher thinks of every sample, kept.

use datasets::logits::Profile;
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::check::{ensure, positive, wrong};
use super::token_count::TokenCount;

/// How much is kept of a position, unless `profile` says otherwise.
pub const DEFAULT_PROFILE: &str = "k32";
/// Tokens of one forward pass, unless `batch_tokens` says otherwise.
pub const DEFAULT_BATCH_TOKENS: u64 = 4096;
/// Tokens that are committed together, unless `shard_tokens` says otherwise.
pub const DEFAULT_SHARD_TOKENS: u64 = 2_000_000;
/// Where the cache is in a run directory, unless `dir` says otherwise.
pub const DEFAULT_DIR: &str = "logits";

/// Asks the teacher about the samples of the text that a cache lacks, and adds what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// Where the cache is; [`DEFAULT_DIR`] in the run directory, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// How much is kept of a position: see [`Profile`].
    pub profile: String,
    /// Tokens of one forward pass, padding included; a longer sample is asked about alone.
    pub batch_tokens: u64,
    /// Tokens that are committed together: what a kill can lose.
    pub shard_tokens: TokenCount,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            dir: None,
            profile: DEFAULT_PROFILE.into(),
            batch_tokens: DEFAULT_BATCH_TOKENS,
            shard_tokens: TokenCount::new(DEFAULT_SHARD_TOKENS),
        }
    }
}

impl Capture {
    /// How much is kept of a position.
    ///
    /// # Errors
    /// [`RecipeError::Value`] if the name is no profile's.
    pub fn profile(&self) -> Result<Profile, RecipeError> {
        let expected = "k16, k32, k64 or another k<n>, exact, top-p or unbiased";
        self.profile.parse().map_err(|_| wrong("capture.profile", expected, &self.profile))
    }

    pub(super) fn check(&self) -> Result<(), RecipeError> {
        self.profile()?;
        ensure(self.dir.as_deref() != Some(""), "capture.dir", "a directory", "an empty text")?;
        let shard_tokens = self.shard_tokens.get();
        positive("capture", &[("batch_tokens", self.batch_tokens), ("shard_tokens", shard_tokens)])
    }
}
