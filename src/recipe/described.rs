//! Shapes of models that are known without their weights, enough to plan with.

use serde_json::{Map, Value};

use crate::model::config::ModelConfig;

/// Name and `config.json` of every described model.
pub const DESCRIBED: &[(&str, &str)] = &[
    ("llama-3.1-8b", include_str!("../model/described/llama-3.1-8b.json")),
    ("llama-3.2-1b", include_str!("../model/described/llama-3.2-1b.json")),
    ("llama-3.2-3b", include_str!("../model/described/llama-3.2-3b.json")),
    ("mistral-nemo-12b", include_str!("../model/described/mistral-nemo-12b.json")),
];

/// The shape of a described model.
#[must_use]
pub fn described(name: &str) -> Option<ModelConfig> {
    let (_, text) = DESCRIBED.iter().find(|(known, _)| *known == name)?;
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    ModelConfig::from_json(&object).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_described_model_has_its_published_number_of_parameters() {
        let counts: Vec<_> = DESCRIBED
            .iter()
            .map(|(name, _)| (*name, described(name).unwrap().num_parameters()))
            .collect();
        let published = [
            ("llama-3.1-8b", 8_030_261_248),
            ("llama-3.2-1b", 1_235_814_400),
            ("llama-3.2-3b", 3_212_749_824),
            ("mistral-nemo-12b", 12_247_782_400),
        ];
        assert_eq!(counts, published);
    }

    #[test]
    fn nemos_heads_are_narrower_than_its_width_would_suggest() {
        let nemo = described("mistral-nemo-12b").unwrap();
        assert_eq!((nemo.hidden_size / nemo.num_attention_heads, nemo.head_dim), (160, 128));
    }
}
