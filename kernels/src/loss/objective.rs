//! What is minimised, and what a pass over tokens reports of it.

use serde::{Deserialize, Serialize};

use super::divergence::Divergence;

/// How the losses of one token are weighed.
///
/// `L = Σ w · D(p_τ, q_τ) · (τ² or 1) + w_ce · (−ln q_label)` with `p_τ = softmax(teacher / τ)` and
/// `q_τ = softmax(student / τ)` (Hinton et al. 2015, arXiv:1503.02531; on the logits of language models
/// alone, by forward KL with τ = 1: Sreenivas et al. 2024, arXiv:2408.11796).
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// The divergences from the teacher, each at most once.
    pub divergences: Vec<Term>,
    /// Weight of the cross-entropy with the next token.
    pub cross_entropy: f64,
}

/// A divergence and its share of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Which.
    pub divergence: Divergence,
    /// Its weight.
    pub weight: f64,
    /// τ.
    pub temperature: f64,
    /// Whether it is multiplied by τ², so that its gradient keeps its scale as τ varies.
    pub times_squared: bool,
}

impl Term {
    /// With a weight of one, at τ = 1.
    #[must_use]
    pub fn new(divergence: Divergence) -> Self {
        Self { divergence, weight: 1.0, temperature: 1.0, times_squared: true }
    }

    /// What a token's divergence is multiplied by in the loss.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.weight * if self.times_squared { self.temperature.powi(2) } else { 1.0 }
    }

    /// What its gradient is multiplied by: [`Term::factor`] times the 1/τ of the chain rule.
    #[must_use]
    pub(super) fn slope(&self) -> f64 {
        if self.times_squared {
            self.weight * self.temperature
        } else {
            self.weight / self.temperature
        }
    }
}

impl Objective {
    /// Plain language modelling.
    #[must_use]
    pub fn cross_entropy() -> Self {
        Self { divergences: Vec::new(), cross_entropy: 1.0 }
    }

    /// Distillation by forward KL at τ = 1, as both Minitron papers do it.
    #[must_use]
    pub fn forward_kl() -> Self {
        Self::mixed(1.0, 1.0, 0.0)
    }

    /// Forward KL with a weight at a temperature, and cross-entropy with a weight.
    #[must_use]
    pub fn mixed(forward_kl: f64, temperature: f64, cross_entropy: f64) -> Self {
        let kl = Term::new(Divergence::ForwardKl);
        let divergences = vec![Term { weight: forward_kl, temperature, ..kl }];
        Self { divergences, cross_entropy }
    }

    /// The term of forward KL; with a weight of nought where it is not minimised, for it is always reported.
    #[must_use]
    pub fn forward_kl_term(&self) -> Term {
        let is = |term: &&Term| term.divergence == Divergence::ForwardKl;
        let none = Term { weight: 0.0, ..Term::new(Divergence::ForwardKl) };
        self.divergences.iter().find(is).copied().unwrap_or(none)
    }

    /// The terms beside forward KL.
    pub fn others(&self) -> impl Iterator<Item = &Term> {
        self.divergences.iter().filter(|term| term.divergence != Divergence::ForwardKl)
    }

    /// The mean loss of a token, of the sums over many.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    pub fn mean(&self, sums: &LossSums) -> f64 {
        let tokens = sums.tokens as f64;
        let kl = self.forward_kl_term().factor() * (sums.forward_kl / tokens);
        let loss = kl + self.cross_entropy * (sums.cross_entropy / tokens);
        let other = |term: &Term| term.factor() * (sums.of(term.divergence) / tokens);
        self.others().fold(loss, |loss, term| loss + other(term))
    }
}

/// The losses that a pass reports if they are minimised: all divergences but forward KL, which it always reports, and
/// [`HIDDEN`].
pub const OTHERS: [&str; Divergence::COUNT] = {
    let mut names = Divergence::NAMES;
    let mut i = 0;
    while i < HIDDEN {
        names[i] = names[i + 1];
        i += 1;
    }
    names[HIDDEN] = "hidden";
    names
};

/// The place among [`OTHERS`] of the loss on hidden states.
pub const HIDDEN: usize = Divergence::COUNT - 1;

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
    /// Σ of each other loss of the objective, without τ², in the order of [`OTHERS`].
    pub others: [f64; OTHERS.len()],
}

impl LossSums {
    /// That of a divergence.
    #[must_use]
    pub fn of(&self, divergence: Divergence) -> f64 {
        divergence.other().map_or(self.forward_kl, |i| self.others[i])
    }

    /// Where that of a divergence is.
    pub(super) fn of_mut(&mut self, divergence: Divergence) -> &mut f64 {
        match divergence.other() {
            Some(i) => &mut self.others[i],
            None => &mut self.forward_kl,
        }
    }

    /// The sum of all, whatever their weights: not finite if one of them is not.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.cross_entropy + self.forward_kl + self.others.iter().sum::<f64>()
    }

    /// Adds another pass's sums.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.cross_entropy += other.cross_entropy;
        self.forward_kl += other.forward_kl;
        self.agreed += other.agreed;
        self.teacher_cross_entropy += other.teacher_cross_entropy;
        for (sum, more) in self.others.iter_mut().zip(other.others) {
            *sum += more;
        }
    }
}
