//! The losses of the spine, and what a pass over tokens reports of them.

use serde::{Deserialize, Serialize};

/// How the losses of one token are weighed.
///
/// `L = w_kl · τ² KL(p_τ ‖ q_τ) + w_ce · (−ln q_label)` with `p_τ = softmax(teacher / τ)` and
/// `q_τ = softmax(student / τ)` (Hinton et al. 2015, arXiv:1503.02531; on the logits of language models
/// alone, with τ = 1: Sreenivas et al. 2024, arXiv:2408.11796).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Weight of the forward KL divergence, teacher to student.
    pub forward_kl: f64,
    /// τ, of the divergence.
    pub temperature: f64,
    /// Weight of the cross-entropy with the next token.
    pub cross_entropy: f64,
}

impl Objective {
    /// Plain language modelling.
    #[must_use]
    pub fn cross_entropy() -> Self {
        Self { forward_kl: 0.0, temperature: 1.0, cross_entropy: 1.0 }
    }

    /// Distillation by forward KL at τ = 1, as both Minitron papers do it.
    #[must_use]
    pub fn forward_kl() -> Self {
        Self { forward_kl: 1.0, temperature: 1.0, cross_entropy: 0.0 }
    }
}

/// Sums over tokens, in nats; whoever reports a mean divides by `tokens`, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossSums {
    /// Tokens that were predicted.
    pub tokens: u64,
    /// Σ −ln q_label of the student.
    pub cross_entropy: f64,
    /// Σ KL(p ‖ q) at the objective's τ, without τ²; zero without a teacher.
    pub forward_kl: f64,
    /// Tokens at which the student's first choice is the teacher's; zero without a teacher.
    pub agreed: u64,
    /// Σ −ln p_label of the teacher; zero without a teacher.
    pub teacher_cross_entropy: f64,
}

impl LossSums {
    /// Adds another pass's sums.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.cross_entropy += other.cross_entropy;
        self.forward_kl += other.forward_kl;
        self.agreed += other.agreed;
        self.teacher_cross_entropy += other.teacher_cross_entropy;
    }
}
