//! Floating-point operations of one token.
//!
//! A multiplication and an addition are two. Counted are the matrix products and attention; norms, rotary
//! embedding, softmax and the optimizer are well below one per cent of them.
//!
//! ```text
//! layer   = 2 (hidden (2 heads + 2 kv_heads) head_dim + 3 hidden intermediate)
//!         + 4 heads head_dim (seq + 1)/2          a token attends to (seq + 1)/2 on average
//! head    = 2 hidden vocab
//! forward = num_hidden_layers layer + head
//! train   = 3 forward  (+ num_hidden_layers layer, where blocks are computed again)
//! distil  = train of the student + forward of the teacher
//! ```

use serde::Serialize;

use crate::model::Recompute;
use crate::model::config::ModelConfig;
use crate::recipe::{ControlObjective, Recipe};

/// One token through one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Forward {
    /// Through all decoder layers, attention included.
    pub layers: u64,
    /// Of `layers`, through attention scores and their sums of values.
    pub attention: u64,
    /// Through the head.
    pub head: u64,
}

impl Forward {
    /// One token through a model, in sequences of so many.
    #[must_use]
    pub fn of(config: &ModelConfig, seq_tokens: u64) -> Self {
        let [hidden, intermediate, layers, heads, kv_heads, head_dim, vocab] = [
            config.hidden_size,
            config.intermediate_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            config.vocab_size,
        ]
        .map(|n| n as u128);
        // A config.json may say anything; what does not fit is shown as the most that does.
        let fit = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        let products = 2 * hidden * ((2 * heads + 2 * kv_heads) * head_dim + 3 * intermediate);
        let attention = layers * 2 * heads * head_dim * (u128::from(seq_tokens) + 1);
        Self {
            layers: fit(layers * products + attention),
            attention: fit(attention),
            head: fit(2 * hidden * vocab),
        }
    }

    /// The whole forward pass.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.layers.saturating_add(self.head)
    }

    /// Forward and backward.
    #[must_use]
    pub fn train(&self, recompute: Recompute) -> u64 {
        let again = if recompute == Recompute::Block { self.layers } else { 0 };
        self.total().saturating_mul(3).saturating_add(again)
    }
}

/// FLOPs of one token, of both models and of the stages that train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Flops {
    /// Through the teacher.
    pub teacher: Forward,
    /// Through the student.
    pub student: Forward,
    /// Distilled on, if the recipe distils.
    pub distil: Option<u64>,
    /// Trained on by the control, if there is one.
    pub control: Option<u64>,
    /// Trained on by the teacher, if the run trains it.
    pub pretrain: Option<u64>,
    /// Trained on by the teacher's correction, if there is one.
    pub correct: Option<u64>,
}

impl Flops {
    pub(super) fn of(recipe: &Recipe, teacher: &ModelConfig, student: &ModelConfig) -> Self {
        let teacher = Forward::of(teacher, recipe.tokens.seq_tokens);
        let student = Forward::of(student, recipe.tokens.seq_tokens);
        let trained = recipe.distil.as_ref().map(|distil| student.train(distil.recompute));
        let correct = |train: crate::recipe::Train| teacher.train(train.recompute);
        let beside = recipe.correction_beside().map_or(0, correct);
        Self {
            teacher,
            student,
            distil: trained
                .map(|flops| flops.saturating_add(teacher.total()).saturating_add(beside)),
            control: recipe.control.as_ref().zip(trained).map(|(control, flops)| {
                let learns = control.objective == ControlObjective::Distillation;
                flops.saturating_add(if learns { teacher.total() } else { 0 })
            }),
            pretrain: recipe.pretrain.as_ref().map(|pretrain| teacher.train(pretrain.recompute)),
            correct: recipe.correction_before().map(correct),
        }
    }
}
