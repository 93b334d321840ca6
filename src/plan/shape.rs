//! Sizes before and after, and how many parameters they make.

use serde::Serialize;

use crate::model::config::ModelConfig;

/// One size of the teacher and of the student.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShapeRow {
    /// Hugging Face's name.
    pub quantity: &'static str,
    /// The teacher's.
    pub teacher: u64,
    /// The student's.
    pub student: u64,
}

/// Parameters of a model, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// All.
    pub total: u64,
    /// Of the embedding and the head.
    pub embedding: u64,
    /// Of all else.
    pub non_embedding: u64,
}

impl Parameters {
    pub(super) fn of(config: &ModelConfig) -> Self {
        let (total, embedding) = (config.num_parameters(), config.num_embedding_parameters());
        Self { total, embedding, non_embedding: total - embedding }
    }
}

pub(super) fn rows(teacher: &ModelConfig, student: &ModelConfig) -> Vec<ShapeRow> {
    type Get = fn(&ModelConfig) -> usize;
    let quantities: [(&'static str, Get); 7] = [
        ("hidden_size", |c| c.hidden_size),
        ("intermediate_size", |c| c.intermediate_size),
        ("num_hidden_layers", |c| c.num_hidden_layers),
        ("num_attention_heads", |c| c.num_attention_heads),
        ("num_key_value_heads", |c| c.num_key_value_heads),
        ("head_dim", |c| c.head_dim),
        ("vocab_size", |c| c.vocab_size),
    ];
    quantities
        .into_iter()
        .map(|(quantity, get)| ShapeRow {
            quantity,
            teacher: get(teacher) as u64,
            student: get(student) as u64,
        })
        .collect()
}
