//! `[tokens]`: how text becomes sequences.

use serde::{Deserialize, Serialize};

/// Tokens of one sequence, unless `seq_tokens` says otherwise.
pub const DEFAULT_SEQ_TOKENS: u64 = 256;
/// Share of the documents that no stage trains on, unless `held_out` says otherwise.
pub const DEFAULT_HELD_OUT: f64 = 0.05;

/// Whether a document gets the tokenizer's beginning or end token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddToken {
    /// If the tokenizer has one.
    #[default]
    Auto,
    /// No.
    Never,
    /// Yes; a tokenizer without one is an error.
    Always,
}

/// How text becomes sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// A directory or a `tokenizer.json`; the teacher's, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Tokens of one sequence.
    pub seq_tokens: u64,
    /// The token before a document.
    pub bos: AddToken,
    /// The token after a document.
    pub eos: AddToken,
    /// Share of the documents that is only evaluated on, chosen by a hash of their content.
    pub held_out: f64,
    /// Whether every epoch has an order of its own.
    pub shuffle: bool,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            tokenizer: None,
            seq_tokens: DEFAULT_SEQ_TOKENS,
            bos: AddToken::default(),
            eos: AddToken::default(),
            held_out: DEFAULT_HELD_OUT,
            shuffle: true,
        }
    }
}
