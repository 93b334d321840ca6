//! What is measured of gaps, at rest.
//!
//! A Parquet table, a row a gap: `first`, `layers` (how many go), the sums, and the scores that they give: three of text,
//! or one of multiple-choice items. In its metadata what is of all: `tokens` or `items`, the sums with nothing removed,
//! and the fingerprint. The sums are read back bit for bit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use datasets::store::Written;
use datasets::table::{Column, Table, TableError};

use super::{Depth, DepthSums, Removed, gaps};
use crate::eval::choice::Answers;
use crate::prune::Fingerprint;

impl DepthSums {
    /// Writes the sums of a teacher.
    ///
    /// # Errors
    ///
    /// If the file cannot be made durable.
    pub fn write(&self, path: &Path, of: &Fingerprint) -> Result<Written, TableError> {
        let column =
            |f: &dyn Fn(&Removed) -> f64| Column::F64(self.removed.iter().map(f).collect());
        let count = |f: &dyn Fn(Range<usize>) -> usize| {
            Column::U64(gaps(self.layers, &self.lengths).map(|gap| f(gap) as u64).collect())
        };
        let mut columns =
            vec![("first", count(&|gap| gap.start)), ("layers", count(&|gap| gap.len()))];
        let mut notes = vec![
            ("layer_forwards", self.layer_forwards.to_string()),
            ("teacher", of.teacher.to_string()),
            ("tokenizer", of.tokenizer.to_string()),
        ];
        let scores: &[Depth] = if self.answers.items > 0 {
            let Answers { items, right, log_likelihood, .. } = self.answers;
            let rights = self.removed.iter().map(|r| r.right).collect();
            columns.push(("right", Column::U64(rights)));
            columns.push(("log_likelihood_sum", column(&|r| r.log_likelihood)));
            notes.extend([("items", items.to_string()), ("right", right.to_string())]);
            notes.push(("right_norm", self.answers.right_norm.to_string()));
            notes.push(("log_likelihood_sum", bits(log_likelihood)));
            &[Depth::Task]
        } else {
            columns.push(("loss_sum", column(&|r| r.loss)));
            columns.push(("cosine_sum", column(&|r| r.cosine)));
            columns.push(("logit_error_sum", column(&|r| r.logit_error)));
            notes.push(("tokens", self.tokens.to_string()));
            notes.extend([("loss_sum", bits(self.loss)), ("logits_sum", bits(self.logits))]);
            &[Depth::Perplexity, Depth::BlockImportance, Depth::LogitError]
        };
        for by in scores {
            columns.push((by.name(), Column::F64(self.scores(*by))));
        }
        let notes = notes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Table::new(columns).write_with(path, &notes)
    }

    /// The sums of a model of so many layers, over blocks of these lengths.
    ///
    /// # Errors
    ///
    /// [`DepthError`] if the file cannot be read, or is of other gaps.
    pub fn read(path: &Path, layers: usize, lengths: &[usize]) -> Result<Self, DepthError> {
        let (table, notes) = Table::read_with(path)?;
        let mut sums = Self::zeros(layers, lengths);
        let missing = |what| DepthError::Malformed { path: path.to_owned(), what };
        let counts = |what| match table.column(what) {
            Some(Column::U64(values)) => Ok(values),
            _ => Err(missing(what)),
        };
        let found: Vec<_> =
            counts("first")?.iter().copied().zip(counts("layers")?.iter().copied()).collect();
        let expected = gaps(layers, lengths).map(|gap| (gap.start as u64, gap.len() as u64));
        if !expected.eq(found.iter().copied()) {
            let (expected, found) = (
                said(gaps(layers, lengths).map(|gap| gap.len() as u64)),
                said(found.iter().map(|(_, length)| *length)),
            );
            return Err(DepthError::Other { path: path.to_owned(), expected, found });
        }
        let whole = |what| note(&notes, what).ok_or_else(|| missing(what));
        let number = |what| note(&notes, what).ok_or_else(|| missing(what));
        sums.layer_forwards = whole("layer_forwards")?;
        let numbers = |what| match table.column(what) {
            Some(Column::F64(values)) => Ok(values),
            _ => Err(missing(what)),
        };
        if table.column("right").is_some() {
            sums.answers = Answers {
                items: whole("items")?,
                right: whole("right")?,
                right_norm: whole("right_norm")?,
                log_likelihood: number("log_likelihood_sum")?,
            };
            let (right, log_likelihood) = (counts("right")?, numbers("log_likelihood_sum")?);
            for (i, removed) in sums.removed.iter_mut().enumerate() {
                (removed.right, removed.log_likelihood) = (right[i], log_likelihood[i]);
            }
            return Ok(sums);
        }
        sums.tokens = whole("tokens")?;
        (sums.loss, sums.logits) = (number("loss_sum")?, number("logits_sum")?);
        let (loss, cosine) = (numbers("loss_sum")?, numbers("cosine_sum")?);
        let logit_error = numbers("logit_error_sum")?;
        for (i, removed) in sums.removed.iter_mut().enumerate() {
            (removed.loss, removed.cosine) = (loss[i], cosine[i]);
            removed.logit_error = logit_error[i];
        }
        Ok(sums)
    }
}

/// A number as text that is read back to the same bits.
fn bits(value: f64) -> String {
    format!("{value:e}")
}

/// How many gaps of which lengths.
fn said(lengths: impl Iterator<Item = u64>) -> String {
    let mut counts = BTreeMap::<u64, usize>::new();
    lengths.for_each(|length| *counts.entry(length).or_default() += 1);
    let counts: Vec<_> = counts.iter().map(|(length, n)| format!("{n} of {length}")).collect();
    counts.join(", ")
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
    #[error("`{}` holds gaps of layers: {found}; this model and recipe have {expected}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// By the model and the recipe: how many of which length.
        expected: String,
        /// In the file.
        found: String,
    },
}
