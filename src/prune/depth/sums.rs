//! What is measured of gaps, as sums over tokens, and at rest.
//!
//! A Parquet table, a row a gap: `first`, `layers` (how many go), the sums, and the three scores that they give. In its
//! metadata what is of all: `tokens`, the sums with nothing removed, and the fingerprint. The sums are read back bit for
//! bit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::store::Written;
use datasets::table::{Column, Table, TableError};
use serde::{Deserialize, Serialize};

use super::{Depth, gaps};
use crate::prune::Fingerprint;

/// Of one gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// `Σ −ln q_label` without it, in nats.
    pub loss: f64,
    /// `Σ cos` of the stream before and after it.
    pub cosine: f64,
    /// `Σ ‖logits − logits without it‖²`.
    pub logit_error: f64,
}

/// Sums over tokens that predict something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DepthSums {
    /// The model's layers.
    pub layers: usize,
    /// Layers that are to go.
    pub dropped: usize,
    /// Tokens.
    pub tokens: u64,
    /// Layers that ran, each over one micro-batch.
    pub layer_forwards: u64,
    /// `Σ −ln q_label` of the whole model.
    pub loss: f64,
    /// `Σ ‖logits‖²` of the whole model.
    pub logits: f64,
    /// Of each of [`gaps`], in their order.
    pub removed: Vec<Removed>,
}

impl DepthSums {
    /// Nothing seen yet.
    #[must_use]
    pub fn zeros(layers: usize, dropped: usize) -> Self {
        let removed = vec![Removed::default(); gaps(layers, dropped).count()];
        Self { layers, dropped, removed, ..Self::default() }
    }

    /// Adds another set of tokens.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.layer_forwards += other.layer_forwards;
        self.loss += other.loss;
        self.logits += other.logits;
        for (mine, theirs) in self.removed.iter_mut().zip(&other.removed) {
            mine.loss += theirs.loss;
            mine.cosine += theirs.cosine;
            mine.logit_error += theirs.logit_error;
        }
    }

    /// The score of each gap: the lower, the less is lost with it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^53")]
    pub fn scores(&self, by: Depth) -> Vec<f64> {
        let tokens = self.tokens as f64;
        let score = |gap: &Removed| match by {
            Depth::Perplexity => (gap.loss - self.loss) / tokens,
            Depth::BlockImportance => 1.0 - gap.cosine / tokens,
            Depth::LogitError => gap.logit_error / self.logits,
        };
        self.removed.iter().map(score).collect()
    }

    /// The first layer of the first gap with a sum that is not finite.
    #[must_use]
    pub fn not_finite(&self) -> Option<usize> {
        let whole = self.loss.is_finite() && self.logits.is_finite();
        let bad = |r: &Removed| !(r.loss + r.cosine + r.logit_error).is_finite();
        let gap = self.removed.iter().position(|removed| !whole || bad(removed));
        gaps(self.layers, self.dropped).nth(gap?).map(|gap| gap.start)
    }

    /// Writes the sums of a teacher.
    ///
    /// # Errors
    ///
    /// If the file cannot be made durable.
    pub fn write(&self, path: &Path, of: &Fingerprint) -> Result<Written, TableError> {
        let column =
            |f: &dyn Fn(&Removed) -> f64| Column::F64(self.removed.iter().map(f).collect());
        let count = |f: &dyn Fn(std::ops::Range<usize>) -> usize| {
            Column::U64(gaps(self.layers, self.dropped).map(|gap| f(gap) as u64).collect())
        };
        let mut columns = vec![
            ("first", count(&|gap| gap.start)),
            ("layers", count(&|gap| gap.len())),
            ("loss_sum", column(&|r| r.loss)),
            ("cosine_sum", column(&|r| r.cosine)),
            ("logit_error_sum", column(&|r| r.logit_error)),
        ];
        for by in [Depth::Perplexity, Depth::BlockImportance, Depth::LogitError] {
            columns.push((by.name(), Column::F64(self.scores(by))));
        }
        let notes = [
            ("tokens", self.tokens.to_string()),
            ("layer_forwards", self.layer_forwards.to_string()),
            ("loss_sum", bits(self.loss)),
            ("logits_sum", bits(self.logits)),
            ("teacher", of.teacher.to_string()),
            ("tokenizer", of.tokenizer.to_string()),
        ];
        let notes = notes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Table::new(columns).write_with(path, &notes)
    }

    /// The sums of a model of so many layers, of which so many are to go.
    ///
    /// # Errors
    ///
    /// [`DepthError`] if the file cannot be read, or is of other gaps.
    pub fn read(path: &Path, layers: usize, dropped: usize) -> Result<Self, DepthError> {
        let (table, notes) = Table::read_with(path)?;
        let mut sums = Self::zeros(layers, dropped);
        let (expected, found) = (sums.removed.len(), table.num_rows());
        if expected != found {
            return Err(DepthError::Other { path: path.to_owned(), expected, found });
        }
        let missing = |what| DepthError::Malformed { path: path.to_owned(), what };
        sums.tokens = note(&notes, "tokens").ok_or_else(|| missing("tokens"))?;
        sums.layer_forwards =
            note(&notes, "layer_forwards").ok_or_else(|| missing("layer_forwards"))?;
        sums.loss = note(&notes, "loss_sum").ok_or_else(|| missing("loss_sum"))?;
        sums.logits = note(&notes, "logits_sum").ok_or_else(|| missing("logits_sum"))?;
        let numbers = |what| match table.column(what) {
            Some(Column::F64(values)) => Ok(values),
            _ => Err(missing(what)),
        };
        let (loss, cosine) = (numbers("loss_sum")?, numbers("cosine_sum")?);
        let logit_error = numbers("logit_error_sum")?;
        for (i, removed) in sums.removed.iter_mut().enumerate() {
            *removed = Removed { loss: loss[i], cosine: cosine[i], logit_error: logit_error[i] };
        }
        Ok(sums)
    }
}

/// A number as text that is read back to the same bits.
fn bits(value: f64) -> String {
    format!("{value:e}")
}

fn note<T: std::str::FromStr>(notes: &BTreeMap<String, String>, key: &str) -> Option<T> {
    notes.get(key)?.parse().ok()
}

/// What can be wrong with written sums.
#[derive(Debug, thiserror::Error)]
pub enum DepthError {
    /// The file cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// It is no file of such sums.
    #[error("`{}` is no file of sums of layers: it does not say `{what}`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is not there.
        what: &'static str,
    },
    /// It is of other gaps.
    #[error("`{}` holds {found} gaps, this model and recipe have {expected}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// By the model and the recipe.
        expected: usize,
        /// In the file.
        found: usize,
    },
}
