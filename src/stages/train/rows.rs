//! Rows of metrics, as tables.

use std::path::Path;

use datasets::table::{Column, Table};
use kernels::loss::{LossSums, OTHERS};

use crate::distill::trainer::StepReport;
use crate::error::Error;

/// What a checkpoint calls the rows of steps.
pub const STEPS: &str = "steps.parquet";
/// What a checkpoint calls the rows of evaluations.
pub const EVALUATIONS: &str = "evaluations.parquet";

/// Means over tokens, under their columns' names; without a teacher there is the first alone.
const MEANS: [&str; 4] = ["cross_entropy", "forward_kl", "teacher_cross_entropy", "agreement"];

/// The means of these sums, in the order of their columns.
#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
pub fn means(sums: &LossSums) -> [f64; 4] {
    let LossSums { tokens, cross_entropy, forward_kl, agreed, teacher_cross_entropy, .. } = *sums;
    [cross_entropy, forward_kl, teacher_cross_entropy, agreed as f64].map(|sum| sum / tokens as f64)
}

/// What is known of steps and of students.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// A row a step.
    pub steps: Vec<StepRow>,
    /// A row an evaluation.
    pub evaluations: Vec<EvaluationRow>,
}

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRow {
    step: u64,
    tokens: u64,
    loss: f64,
    means: [f64; 4],
    /// Of the losses of [`OTHERS`]; those that are minimised are columns.
    others: [f64; OTHERS.len()],
    learning_rate: f64,
    gradient_norm: f64,
}

/// What is known of the student with so many updates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvaluationRow {
    step: u64,
    tokens: u64,
    means: [f64; 4],
}

/// What the wall clock says of a step.
#[derive(Clone, Copy, Debug)]
pub struct TimingRow {
    /// The step.
    pub step: u64,
    /// Of its micro-batches.
    pub tokens_per_second: f64,
    /// The share of the time in which the learner waited for a lesson.
    pub waiting_share: f64,
    /// Of the process, after it.
    pub resident_memory_bytes: u64,
}

impl StepRow {
    /// What `report` says.
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    pub fn new(step: u64, report: &StepReport) -> Self {
        let sums = &report.sums;
        Self {
            step,
            tokens: sums.tokens,
            loss: report.loss,
            means: means(sums),
            others: sums.others.map(|sum| sum / sums.tokens as f64),
            learning_rate: report.learning_rate,
            gradient_norm: report.gradient_norm,
        }
    }
}

impl EvaluationRow {
    /// The means of these sums.
    pub fn new(step: u64, sums: &LossSums) -> Self {
        Self { step, tokens: sums.tokens, means: means(sums) }
    }
}

/// The rows of timing.
pub fn timing_table(rows: &[TimingRow]) -> Table {
    Table::new([
        ("step", counts(rows, |row| row.step)),
        ("tokens_per_second", numbers(rows, |row| row.tokens_per_second)),
        ("waiting_share", numbers(rows, |row| row.waiting_share)),
        ("resident_memory_bytes", counts(rows, |row| row.resident_memory_bytes)),
    ])
}

impl Rows {
    /// The rows of steps; `others` are places among [`OTHERS`]: columns, after those that all runs have.
    pub fn steps_table(&self, has_teacher: bool, others: &[usize]) -> Table {
        let rows = &self.steps;
        let mut columns = vec![
            ("step", counts(rows, |row| row.step)),
            ("tokens", counts(rows, |row| row.tokens)),
            ("loss", numbers(rows, |row| row.loss)),
        ];
        columns.extend(mean_columns(rows, has_teacher, |row| row.means));
        columns.push(("learning_rate", numbers(rows, |row| row.learning_rate)));
        columns.push(("gradient_norm", numbers(rows, |row| row.gradient_norm)));
        columns.extend(others.iter().map(|i| (OTHERS[*i], numbers(rows, |row| row.others[*i]))));
        Table::new(columns)
    }

    /// The rows of evaluations.
    pub fn evaluations_table(&self, has_teacher: bool) -> Table {
        let rows = &self.evaluations;
        let mut columns = vec![
            ("step", counts(rows, |row| row.step)),
            ("tokens", counts(rows, |row| row.tokens)),
        ];
        columns.extend(mean_columns(rows, has_teacher, |row| row.means));
        Table::new(columns)
    }

    /// What a checkpoint holds in `dir`.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Malformed`] if it is not these tables.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(STEPS);
        let table = Read::open(&path)?;
        let (step, tokens) = (table.counts("step")?, table.counts("tokens")?);
        let (loss, means) = (table.numbers("loss")?, table.means(&MEANS));
        let others = table.means(&OTHERS);
        let (rate, norm) = (table.numbers("learning_rate")?, table.numbers("gradient_norm")?);
        let row = |i: usize| StepRow {
            step: step[i],
            tokens: tokens[i],
            loss: loss[i],
            means: means[i],
            others: others[i],
            learning_rate: rate[i],
            gradient_norm: norm[i],
        };
        let steps = (0..step.len()).map(row).collect();

        let path = dir.join(EVALUATIONS);
        let table = Read::open(&path)?;
        let (step, tokens) = (table.counts("step")?, table.counts("tokens")?);
        let means = table.means(&MEANS);
        let row = |i: usize| EvaluationRow { step: step[i], tokens: tokens[i], means: means[i] };
        Ok(Self { steps, evaluations: (0..step.len()).map(row).collect() })
    }
}

fn counts<R>(rows: &[R], f: impl Fn(&R) -> u64) -> Column {
    Column::U64(rows.iter().map(f).collect())
}

fn numbers<R>(rows: &[R], f: impl Fn(&R) -> f64) -> Column {
    Column::F64(rows.iter().map(f).collect())
}

fn mean_columns<R>(
    rows: &[R],
    has_teacher: bool,
    means: impl Fn(&R) -> [f64; 4],
) -> Vec<(&'static str, Column)> {
    let known = if has_teacher { MEANS.len() } else { 1 };
    (0..known).map(|i| (MEANS[i], numbers(rows, |row| means(row)[i]))).collect()
}

/// A table that was written here.
struct Read<'a> {
    path: &'a Path,
    table: Table,
}

impl<'a> Read<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        Ok(Self { path, table: Table::read(path)? })
    }

    fn counts(&self, name: &str) -> Result<&[u64], Error> {
        match self.table.column(name) {
            Some(Column::U64(values)) => Ok(values),
            _ => Err(self.no_column(name)),
        }
    }

    fn numbers(&self, name: &str) -> Result<&[f64], Error> {
        match self.table.column(name) {
            Some(Column::F64(values)) => Ok(values),
            _ => Err(self.no_column(name)),
        }
    }

    /// The columns of these names; those that are not there are zero, as they were.
    fn means<const N: usize>(&self, names: &[&str; N]) -> Vec<[f64; N]> {
        let mut rows = vec![[0.0; N]; self.table.num_rows()];
        for (i, name) in names.iter().enumerate() {
            if let Some(Column::F64(values)) = self.table.column(name) {
                rows.iter_mut().zip(values).for_each(|(row, value)| row[i] = *value);
            }
        }
        rows
    }

    fn no_column(&self, name: &str) -> Error {
        let reason = format!("it has no column `{name}` of the right type");
        Error::Malformed { path: self.path.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_staged_are_taken_up_bit_for_bit() {
        let row = StepRow {
            step: 7,
            tokens: 2048,
            loss: 0.1 + 0.2,
            means: [1.0 / 3.0, 0.5, 0.25, 0.125],
            others: std::array::from_fn(|i| if i == 1 || i == 5 { 1.0 / i as f64 } else { 0.0 }),
            learning_rate: 1e-4,
            gradient_norm: 2.5,
        };
        let rows = Rows { steps: vec![row], evaluations: vec![] };
        let dir = tempfile::tempdir().unwrap();
        rows.steps_table(true, &[1, 5]).write(&dir.path().join(STEPS)).unwrap();
        rows.evaluations_table(true).write(&dir.path().join(EVALUATIONS)).unwrap();
        assert_eq!(Rows::read(dir.path()).unwrap(), rows);
    }
}
