//! `[tokens]`: how text becomes sequences.

pub use datasets::order::Shuffle;
pub use datasets::pack::Method as Packing;
use serde::{Deserialize, Serialize};

use super::TokenCount;

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

/// Which documents that were there before are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedup {
    /// None.
    #[default]
    None,
    /// Those of the same text.
    Exact,
    /// Those of nearly the same words, too: MinHash, an estimated similarity above 0.7 or so.
    Near,
}

/// What becomes of a document of more than `max_document_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongDocuments {
    /// It becomes several.
    #[default]
    Split,
    /// Its end is left out.
    Truncate,
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
    /// In which order an epoch visits a source.
    pub shuffle: Shuffle,
    /// Tokens of a window that is shuffled; those of all sources together are 4 Mi, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle_window: Option<TokenCount>,
    /// How documents fill sequences.
    pub packing: Packing,
    /// Whether the documents of a sequence are hidden from one another.
    pub document_mask: bool,
    /// The longest document; any, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_document_tokens: Option<u64>,
    /// What becomes of longer ones.
    pub long_documents: LongDocuments,
    /// Which documents that were there before are left out.
    pub dedup: Dedup,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            tokenizer: None,
            seq_tokens: DEFAULT_SEQ_TOKENS,
            bos: AddToken::default(),
            eos: AddToken::default(),
            held_out: DEFAULT_HELD_OUT,
            shuffle: Shuffle::default(),
            shuffle_window: None,
            packing: Packing::default(),
            document_mask: false,
            max_document_tokens: None,
            long_documents: LongDocuments::default(),
            dedup: Dedup::default(),
        }
    }
}
