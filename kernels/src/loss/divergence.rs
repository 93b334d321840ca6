//! The divergences of a student from its teacher, and the one structure that all their gradients have.
//!
//! The vocabulary is cut into cells: a dense loss has one a word, a sparse one has the K words that are known of the
//! teacher and one for the rest. With `p` the teacher's and `q` the student's mass of a cell, a loss is a sum over cells
//! of a value, and its gradient needs one more number of each, its *pull* `q · ∂L/∂q`:
//!
//! ```text
//! L = Σ value(ln p, ln q)
//! ∂L/∂z = (pull − q Σ pull) / τ        at a word that is a cell
//! ∂L/∂z = q (pull_g / q_g − Σ pull) / τ    at a word of the cell g
//! ```
//!
//! (the chain rule of a softmax; `reference/distillation.md`, 2.1 and 2.3). What is constant in `∂L/∂q` cancels and is
//! left out. A loss is therefore a function of two numbers that returns two, and nothing else.

use serde::{Deserialize, Serialize};

use crate::host::{exp, ln};

/// How far the student `q` is from the teacher `p`, both at the temperature of the term.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Divergence {
    /// `KL(p ‖ q)`: covers all that the teacher may say (Hinton et al. 2015, arXiv:1503.02531).
    ForwardKl,
    /// `KL(q ‖ p)`: seeks the teacher's modes (Gu et al. 2023, arXiv:2306.08543).
    ReverseKl,
    /// `β KL(p ‖ m) + (1 − β) KL(q ‖ m)` with `m = β p + (1 − β) q` (Agarwal et al. 2023, arXiv:2306.13649). It goes to
    /// zero with β and with 1 − β: no end is one of the KL divergences.
    JensenShannon {
        /// β, between 0 and 1.
        beta: f64,
    },
    /// `KL(p ‖ α p + (1 − α) q)` (Ko et al. 2024, arXiv:2402.03898).
    SkewForwardKl {
        /// α, from 0 and below 1.
        alpha: f64,
    },
    /// `KL(q ‖ α q + (1 − α) p)` (the same).
    SkewReverseKl {
        /// α, from 0 and below 1.
        alpha: f64,
    },
    /// `½ Σ |p − q|`.
    TotalVariation,
    /// `a KL(p ‖ q) + (1 − a) KL(q ‖ p)`, `a` being the share of `Σ |p − q|` that lies in the head: the fewest words with
    /// that much of the teacher's mass. `a` has no gradient (Wu et al. 2024, arXiv:2404.02657).
    AdaptiveKl {
        /// The mass of the head, between 0 and 1.
        head: f64,
    },
    /// The mean over words of `((z − z̄) − (t − t̄))² / τ²`: softmax does not see the means, so neither does this.
    LogitMse,
}

impl Divergence {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// The names of a recipe, in the order of [`Divergence::index`].
    pub const NAMES: [&'static str; Self::COUNT] = [
        "forward_kl",
        "reverse_kl",
        "jensen_shannon",
        "skew_forward_kl",
        "skew_reverse_kl",
        "total_variation",
        "adaptive_kl",
        "logit_mse",
    ];

    /// Its place among the losses that a pass reports beside forward KL, which every pass reports.
    #[must_use]
    pub fn other(self) -> Option<usize> {
        self.index().checked_sub(1)
    }

    /// Its place among the names.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::ForwardKl => 0,
            Self::ReverseKl => 1,
            Self::JensenShannon { .. } => 2,
            Self::SkewForwardKl { .. } => 3,
            Self::SkewReverseKl { .. } => 4,
            Self::TotalVariation => 5,
            Self::AdaptiveKl { .. } => 6,
            Self::LogitMse => 7,
        }
    }

    /// The word of a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// What a cell adds to its row: `(value, pull)`.
pub(super) type Cell = (f32, f32);

#[inline(always)]
fn forward_kl(log_p: f32, log_q: f32) -> Cell {
    let p = exp(log_p);
    (p * (log_p - log_q), -p)
}

#[inline(always)]
fn reverse_kl(log_p: f32, log_q: f32) -> Cell {
    let value = exp(log_q) * (log_q - log_p);
    (value, value)
}

#[inline(always)]
fn jensen_shannon(beta: f32, log_p: f32, log_q: f32) -> Cell {
    let (p, q) = (exp(log_p), exp(log_q));
    let log_m = ln(beta * p + (1.0 - beta) * q);
    let pull = (1.0 - beta) * q * (log_q - log_m);
    (beta * p * (log_p - log_m) + pull, pull)
}

#[inline(always)]
fn skew_forward_kl(alpha: f32, log_p: f32, log_q: f32) -> Cell {
    let (p, q) = (exp(log_p), exp(log_q));
    let m = (alpha * p + (1.0 - alpha) * q).max(f32::MIN_POSITIVE);
    (p * (log_p - ln(m)), -(1.0 - alpha) * p * (q / m))
}

#[inline(always)]
fn skew_reverse_kl(alpha: f32, log_p: f32, log_q: f32) -> Cell {
    let (p, q) = (exp(log_p), exp(log_q));
    let m = (alpha * q + (1.0 - alpha) * p).max(f32::MIN_POSITIVE);
    let value = q * (log_q - ln(m));
    (value, value - alpha * q * (q / m))
}

#[inline(always)]
fn total_variation(log_p: f32, log_q: f32) -> Cell {
    let (p, q) = (exp(log_p), exp(log_q));
    let sign = if q > p {
        1.0
    } else if q < p {
        -1.0
    } else {
        0.0
    };
    (0.5 * (p - q).abs(), 0.5 * sign * q)
}

/// `share` of forward KL, the rest of reverse KL.
#[inline(always)]
fn adaptive_kl(share: f32, log_p: f32, log_q: f32) -> Cell {
    let (p, q) = (exp(log_p), exp(log_q));
    let (forward, reverse) = (share * p, (1.0 - share) * q * (log_q - log_p));
    (forward * (log_p - log_q) + reverse, reverse - forward)
}

/// `mean` is that of `ln q − ln p`, `weight` one over the number of words.
#[inline(always)]
fn logit_mse(mean: f32, weight: f32, log_p: f32, log_q: f32) -> Cell {
    let gap = (log_q - log_p) - mean;
    (weight * gap * gap, 2.0 * weight * gap)
}

/// The cells of one row.
pub(super) trait Cells {
    /// Sums the values and the pulls of all cells and keeps the pulls; without `rest`, of the cells of one word alone.
    fn pass(&mut self, rest: bool, cell: impl Fn(f32, f32) -> Cell) -> Cell;

    /// The share of `Σ |p − q|` that lies in the head, the fewest words with that much of the teacher's mass.
    fn head_share(&mut self, head: f32) -> f32;

    /// The mean of `ln q − ln p` over the words, and one over their number.
    fn mean_gap(&mut self) -> Cell;

    /// The loss of the row, and the sum of its pulls.
    #[inline(always)]
    fn sum(&mut self, divergence: Divergence) -> Cell {
        match divergence {
            Divergence::ForwardKl => self.pass(true, forward_kl),
            Divergence::ReverseKl => self.pass(true, reverse_kl),
            Divergence::JensenShannon { beta } => {
                let beta = narrow(beta);
                self.pass(true, |p, q| jensen_shannon(beta, p, q))
            }
            Divergence::SkewForwardKl { alpha } => {
                let alpha = narrow(alpha);
                self.pass(true, |p, q| skew_forward_kl(alpha, p, q))
            }
            Divergence::SkewReverseKl { alpha } => {
                let alpha = narrow(alpha);
                self.pass(true, |p, q| skew_reverse_kl(alpha, p, q))
            }
            Divergence::TotalVariation => self.pass(true, total_variation),
            Divergence::AdaptiveKl { head } => {
                let share = self.head_share(narrow(head));
                self.pass(true, |p, q| adaptive_kl(share, p, q))
            }
            Divergence::LogitMse => {
                let (mean, weight) = self.mean_gap();
                self.pass(false, |p, q| logit_mse(mean, weight, p, q))
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a constant, in the logits' type")]
fn narrow(x: f64) -> f32 {
    x as f32
}
