//! What a shape costs.
//!
//! ```text
//! weight_bytes    = parameters · bytes of a number
//! kv_cache_bytes  = 2 num_hidden_layers num_key_value_heads head_dim context_tokens · bytes of a number
//! flops_per_token = of a forward pass, see `plan::flops`
//! ```

use serde::{Deserialize, Serialize};

use super::latency::Latencies;
use crate::model::ModelConfig;
use crate::plan::Forward;
use crate::recipe::{ExportDtype, Search};

/// What a shape costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// All parameters.
    pub parameters: u64,
    /// Those of neither the embedding nor the head.
    pub non_embedding_parameters: u64,
    /// The weights.
    pub weight_bytes: u64,
    /// Keys and values of the context.
    pub kv_cache_bytes: u64,
    /// Of a forward pass.
    pub flops_per_token: u64,
    /// Of a prompt, where blocks were measured.
    pub prefill_ms: Option<f64>,
    /// Of the token after it.
    pub decode_ms: Option<f64>,
}

impl Cost {
    /// Of a shape, by what the search says of context, type and prompt.
    #[must_use]
    pub fn of(
        config: &ModelConfig,
        search: &Search,
        seq_tokens: u64,
        latencies: Option<&Latencies>,
    ) -> Self {
        let bytes = match search.dtype {
            ExportDtype::F32 => 4,
            ExportDtype::Bf16 | ExportDtype::F16 | ExportDtype::Teacher => 2,
        };
        let parameters = config.num_parameters();
        let cached = [config.num_hidden_layers, config.num_key_value_heads, config.head_dim];
        let cached =
            cached.into_iter().fold(2 * bytes, |n: u64, size| n.saturating_mul(size as u64));
        let latency = latencies.and_then(|table| table.of(config));
        Self {
            parameters,
            non_embedding_parameters: parameters - config.num_embedding_parameters(),
            weight_bytes: parameters.saturating_mul(bytes),
            kv_cache_bytes: cached.saturating_mul(search.context_tokens),
            flops_per_token: Forward::of(config, seq_tokens).total(),
            prefill_ms: latency.map(|[prefill, _]| prefill),
            decode_ms: latency.map(|[_, decode]| decode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::described;

    #[test]
    fn the_cache_of_llama_8b_is_one_gib_at_8192_tokens_in_bf16() {
        let config = described("llama-3.1-8b").unwrap();
        let cost = Cost::of(&config, &Search::default(), 8192, None);
        assert_eq!(cost.kv_cache_bytes, 1 << 30);
        assert_eq!(cost.weight_bytes, 2 * 8_030_261_248);
        assert_eq!(cost.parameters - cost.non_embedding_parameters, 2 * 128_256 * 4096);
        let f32 = Search { dtype: ExportDtype::F32, ..Search::default() };
        assert_eq!(Cost::of(&config, &f32, 8192, None).kv_cache_bytes, 2 << 30);
    }
}
