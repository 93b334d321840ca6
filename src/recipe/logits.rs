//! `[logits]`: the student learns from a cache, and no teacher is in memory.

use serde::{Deserialize, Serialize};

use super::check::{ensure, not_both};
use super::{Recipe, RecipeError};

/// What is done about a sample that the cache does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Nothing is trained.
    #[default]
    Refuse,
    /// The teacher, which is in memory then, is asked, and what it says is added.
    Ask,
}

/// What is done about the words of a position that the cache does not have one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// Their mass is known, and the student is to give them as much together.
    Ghost,
    /// They have none: the known words' masses are scaled to one. Biased towards them.
    Renormalise,
    /// They are not looked at: both models are scaled to one over the known words.
    Subset,
}

/// Where `[distil]` reads what the teacher thinks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logits {
    /// The cache; the one that `[capture]` fills, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// Entries of each position, the mass of the others in the tail; all that are stored, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<u32>,
    /// What is done about the other words; `ghost`, if absent. Of a cache whose words were drawn it is, and these stand for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// What is done about a sample that is not there.
    pub missing: Missing,
}

impl Recipe {
    pub(super) fn check_logits(&self) -> Result<(), RecipeError> {
        if let Some(capture) = &self.capture {
            capture.check()?;
        }
        let Some(logits) = &self.logits else { return Ok(()) };
        if self.distil.is_none() {
            return Err(RecipeError::Alone { table: "logits", needed: "distil" });
        }
        ensure(logits.dir.as_deref() != Some(""), "logits.dir", "a directory", "an empty text")?;
        ensure(logits.k != Some(0), "logits.k", "1 or more", 0)?;
        if logits.dir.is_none() && self.capture.is_none() {
            let (first, second) = ("logits.dir".into(), "capture".into());
            return Err(RecipeError::Neither { first, second });
        }
        // A cache has no hidden states, and is of one teacher, which does not change.
        for (second, is_there) in [
            ("losses.hidden", self.losses.hidden.is_some()),
            ("correct.parallel", self.correction_beside().is_some()),
            ("search", self.search.is_some()),
            ("then", !self.then.is_empty()),
        ] {
            not_both(("logits", true), (second, is_there))?;
        }
        Ok(())
    }
}
