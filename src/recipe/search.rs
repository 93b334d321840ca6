//! `[search]`: which shapes are tried, under what budget, and how long.

use serde::{Deserialize, Serialize};

use super::byte_count::ByteCount;
use super::export::ExportDtype;
use super::size::Size;
use super::token_count::TokenCount;
use super::window::Window;

/// Candidates of the first rung, unless `candidates` says otherwise: P1's 15 and 18 for its two targets.
pub const DEFAULT_CANDIDATES: u64 = 16;
/// Sequences of a candidate's loss before training.
pub const DEFAULT_ZERO_SHOT_SEQUENCES: u64 = 64;
/// Tokens whose keys and values the cache holds.
pub const DEFAULT_CONTEXT_TOKENS: u64 = 8192;
/// Tokens of a prompt whose latency is measured.
pub const DEFAULT_PREFILL_TOKENS: u64 = 512;

/// A search for the student's shape. Sizes that it does not list are those of `[prune]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// All parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Window<TokenCount>>,
    /// Those of neither the embedding nor the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_embedding_parameters: Option<Window<TokenCount>>,
    /// The weights in `dtype`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bytes: Option<Window<ByteCount>>,
    /// The keys and values of `context_tokens` in `dtype`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_bytes: Option<Window<ByteCount>>,
    /// Floating-point operations of a forward pass, in sequences of `tokens.seq_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops_per_token: Option<Window<TokenCount>>,
    /// Milliseconds for a prompt of `prefill_tokens`, as measured on this device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill_ms: Option<Window<f64>>,
    /// Milliseconds for the token after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_ms: Option<Window<f64>>,
    /// The type that bytes are counted in.
    pub dtype: ExportDtype,
    /// Tokens whose keys and values are counted.
    pub context_tokens: u64,
    /// Tokens of the prompt.
    pub prefill_tokens: u64,
    /// Widths of the residual stream that are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden_size: Vec<Size>,
    /// Neurons of one MLP that are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intermediate_size: Vec<Size>,
    /// Query heads that are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub num_attention_heads: Vec<Size>,
    /// Key and value heads that are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub num_key_value_heads: Vec<Size>,
    /// Numbers of layers that are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub num_hidden_layers: Vec<Size>,
    /// Sequences of a candidate's loss before training.
    pub zero_shot_sequences: u64,
    /// Candidates that are trained, the best before training; after each rung the better half of them goes on.
    pub candidates: u64,
    /// Tokens that a candidate has learnt from at the end of each rung, rising; none to choose by the loss before
    /// training.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenCount>,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            parameters: None,
            non_embedding_parameters: None,
            weight_bytes: None,
            kv_cache_bytes: None,
            flops_per_token: None,
            prefill_ms: None,
            decode_ms: None,
            dtype: ExportDtype::Bf16,
            context_tokens: DEFAULT_CONTEXT_TOKENS,
            prefill_tokens: DEFAULT_PREFILL_TOKENS,
            hidden_size: Vec::new(),
            intermediate_size: Vec::new(),
            num_attention_heads: Vec::new(),
            num_key_value_heads: Vec::new(),
            num_hidden_layers: Vec::new(),
            zero_shot_sequences: DEFAULT_ZERO_SHOT_SEQUENCES,
            candidates: DEFAULT_CANDIDATES,
            tokens: Vec::new(),
        }
    }
}

impl Search {
    /// Whether a budget is of what a clock measures.
    #[must_use]
    pub fn times(&self) -> bool {
        self.prefill_ms.is_some() || self.decode_ms.is_some()
    }

    /// Candidates of each rung: half of those before, one at least.
    #[must_use]
    pub fn fields(&self, found: usize) -> Vec<usize> {
        let first = usize::try_from(self.candidates).unwrap_or(usize::MAX).min(found);
        (0..self.tokens.len())
            .scan(first, |field, _| {
                let this = *field;
                *field = this.div_ceil(2);
                Some(this)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rung_has_half_the_field_and_one_at_least() {
        let search = |candidates, rungs| Search {
            candidates,
            tokens: vec![TokenCount::new(1); rungs],
            ..Search::default()
        };
        assert_eq!(search(16, 4).fields(100), [16, 8, 4, 2]);
        assert_eq!(search(15, 4).fields(100), [15, 8, 4, 2]);
        assert_eq!(search(16, 4).fields(3), [3, 2, 1, 1]);
        assert!(search(16, 0).fields(3).is_empty());
    }
}
