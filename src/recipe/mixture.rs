//! `[mixture.<name>]`: weights that change while tokens are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TokenCount;

/// From some number of tokens on, other weights. A source that is not named keeps its own.
///
/// ```toml
/// [mixture.anneal]
/// after = "80B"
/// code = 0.5
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The tokens after which the weights hold.
    pub after: TokenCount,
    /// Weights by source.
    #[serde(flatten)]
    pub weights: BTreeMap<String, f64>,
}
