//! A small model and an identity, for the tests of what asks and what is kept.

use std::collections::BTreeMap;

use datasets::grammar::Grammar;
use datasets::logits::{Identity, Profile, Teacher, TokenizerIdentity};
use datasets::tokenizer::Tokenizer;

use crate::model::ModelConfig;

/// Of forty words.
pub(crate) fn config() -> ModelConfig {
    let object = serde_json::json!({
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    });
    ModelConfig::from_json(object.as_object().unwrap()).unwrap()
}

/// Of nobody's logits over these words.
pub(crate) fn identity() -> Identity {
    let (dir, grammar) = (tempfile::tempdir().unwrap(), Grammar::new(1));
    std::fs::write(dir.path().join("tokenizer.json"), grammar.tokenizer_json()).unwrap();
    let tokenizer = Tokenizer::load(dir.path());
    Identity {
        teacher: Teacher::default(),
        tokenizer: TokenizerIdentity::of(&tokenizer.unwrap()).unwrap(),
        template: String::new(),
        context: String::new(),
        vocab_size: 40,
        values: Profile::default().values,
        sampled: false,
        label: true,
        temperatures: vec![],
        provenance: BTreeMap::new(),
    }
}
