//! What is measured of gaps, as sums over tokens or over items.

use serde::{Deserialize, Serialize};

use super::{Depth, gaps};
use crate::eval::choice::Answers;

/// Of one gap: of text the first three, of items the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// `Σ −ln q_label` without it, in nats.
    pub loss: f64,
    /// `Σ cos` of the stream before and after it.
    pub cosine: f64,
    /// `Σ ‖logits − logits without it‖²`.
    pub logit_error: f64,
    /// Items that are answered rightly without it.
    pub right: u64,
    /// `Σ ln p` of the right choices without it, in nats.
    pub log_likelihood: f64,
}

/// Sums over tokens that predict something, or over items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DepthSums {
    /// The model's layers.
    pub layers: usize,
    /// The lengths of the blocks that are measured, beside single layers.
    pub lengths: Vec<usize>,
    /// Tokens.
    pub tokens: u64,
    /// Layers that ran, each over one micro-batch.
    pub layer_forwards: u64,
    /// `Σ −ln q_label` of the whole model.
    pub loss: f64,
    /// `Σ ‖logits‖²` of the whole model.
    pub logits: f64,
    /// Of the whole model.
    pub answers: Answers,
    /// Of each of [`gaps`], in their order.
    pub removed: Vec<Removed>,
}

impl DepthSums {
    /// Nothing seen yet.
    #[must_use]
    pub fn zeros(layers: usize, lengths: &[usize]) -> Self {
        let removed = vec![Removed::default(); gaps(layers, lengths).count()];
        Self { layers, lengths: lengths.to_vec(), removed, ..Self::default() }
    }

    /// Adds another set of tokens.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.layer_forwards += other.layer_forwards;
        self.loss += other.loss;
        self.logits += other.logits;
        self.answers.add(&other.answers);
        for (mine, theirs) in self.removed.iter_mut().zip(&other.removed) {
            mine.loss += theirs.loss;
            mine.cosine += theirs.cosine;
            mine.logit_error += theirs.logit_error;
            mine.right += theirs.right;
            mine.log_likelihood += theirs.log_likelihood;
        }
    }

    /// The score of each gap: the lower, the less is lost with it. Not a number, where that was not measured: items
    /// say nothing of tokens, nor tokens of items.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn scores(&self, by: Depth) -> Vec<f64> {
        let (tokens, items) = (self.tokens as f64, self.answers.items as f64);
        let right = self.answers.right as f64;
        let score = |gap: &Removed| match by {
            Depth::Perplexity => (gap.loss - self.loss) / tokens,
            Depth::BlockImportance => 1.0 - gap.cosine / tokens,
            Depth::LogitError => gap.logit_error / self.logits,
            Depth::Task => (right - gap.right as f64) / items,
        };
        self.removed.iter().map(score).collect()
    }

    /// What decides between gaps of one score, the lower first: answers are few, so that many gaps cost the same, and
    /// then it is the log-likelihood that the right choices lose. Of the other scores nothing.
    #[must_use]
    pub fn ties(&self, by: Depth) -> Vec<f64> {
        let lost = |gap: &Removed| self.answers.log_likelihood - gap.log_likelihood;
        self.removed.iter().map(|gap| if by == Depth::Task { lost(gap) } else { 0.0 }).collect()
    }

    /// The first layer of the first gap with a sum that is not finite.
    #[must_use]
    pub fn not_finite(&self) -> Option<usize> {
        let whole = (self.loss + self.logits + self.answers.log_likelihood).is_finite();
        let bad = |r: &Removed| !(r.loss + r.cosine + r.logit_error + r.log_likelihood).is_finite();
        let gap = self.removed.iter().position(|removed| !whole || bad(removed));
        gaps(self.layers, &self.lengths).nth(gap?).map(|gap| gap.start)
    }
}
