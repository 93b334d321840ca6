//! Rows of metrics, and how they survive a stop.
//!
//! The rows since the last multiple of `checkpoint_every` are a part of each checkpoint. A checkpoint at a multiple,
//! or at the end, is *regular*: its rows are published as `metrics/<stage>/steps-<from>.parquet`, `<from>` being the
//! multiple before. A checkpoint that a stop made is not; its rows are taken up again by the run that resumes. So the
//! published files are the same bytes however often a run was stopped, and each is written whole, after the commit
//! and again on resume, in case the process ended in between.
//!
//! What the wall clock says is not the same twice, so it goes to `timing/`, one file a checkpoint and incarnation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::roles::{Record, Staging, Waits};
use dataflows::{Failure, Span, Step};
use datasets::store::{Checkpoint, Checkpoints};
use datasets::table::{Column, Table};
use kernels::loss::LossSums;

use super::Run;
use crate::distill::trainer::StepReport;
use crate::error::Error;
use crate::run::resident_memory_bytes;
use crate::stages::commit::{copy, part};
use crate::stages::context::Context;

const STEPS: &str = "steps.parquet";
const EVALUATIONS: &str = "evaluations.parquet";
/// The columns of sums, in both files.
const SUMS: [&str; 4] = ["cross_entropy", "forward_kl", "teacher_cross_entropy", "agreement"];

/// Keeps the rows.
pub struct Recording {
    ctx: Arc<Context>,
    stage: &'static str,
    checkpoints: Arc<Checkpoints>,
    span: Span,
    /// `w_kl τ²` and `w_ce`: how the loss is made of the sums.
    weights: (f64, f64),
    has_teacher: bool,
    rows: Rows,
    timing: Vec<[f64; 4]>,
    timing_from: u64,
    last: Option<LossSums>,
}

/// What is known of steps and of students.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rows {
    /// Step, loss, means, rate, norm.
    steps: Vec<(u64, f64, [f64; 4], f64, f64)>,
    tokens: Vec<u64>,
    /// Step, tokens, means.
    evaluations: Vec<(u64, u64, [f64; 4])>,
}

/// Whether the checkpoint at `step` is regular; see the module.
fn is_regular(step: u64, span: Span) -> bool {
    step == span.end || (span.every > 0 && step.is_multiple_of(span.every))
}

/// The multiple of `every` before the rows of the checkpoint at `step`.
fn from(step: u64, span: Span) -> u64 {
    (step.max(1) - 1).checked_div(span.every).unwrap_or(0) * span.every
}

/// Publishes the rows of a regular checkpoint in `dir`.
///
/// # Errors
/// [`Error::Io`] or [`Error::Store`] if they cannot be copied.
pub fn publish(checkpoint: &Checkpoint, dir: &Path, span: Span) -> Result<(), Error> {
    if !is_regular(checkpoint.step, span) {
        return Ok(());
    }
    let from = from(checkpoint.step, span);
    for (part, name) in [(STEPS, "steps"), (EVALUATIONS, "evaluations")] {
        if let Some(path) = checkpoint.part(part) {
            copy(&path, &dir.join(format!("{name}-{from:08}.parquet")))?;
        }
    }
    Ok(())
}

impl Recording {
    /// Takes up the rows of a checkpoint that a stop made.
    pub(super) fn begin(
        ctx: &Arc<Context>,
        stage: &'static str,
        checkpoints: &Arc<Checkpoints>,
        newest: Option<&Checkpoint>,
        span: Span,
        run: &Run<'_>,
        has_teacher: bool,
    ) -> Result<Self, Error> {
        let rows = match newest.filter(|checkpoint| !is_regular(checkpoint.step, span)) {
            Some(checkpoint) => Rows::read(&checkpoint.dir)?,
            None => Rows::default(),
        };
        let objective = run.objective;
        let kl =
            if has_teacher { objective.forward_kl * objective.temperature.powi(2) } else { 0.0 };
        Ok(Self {
            ctx: Arc::clone(ctx),
            stage,
            checkpoints: Arc::clone(checkpoints),
            span,
            weights: (kl, objective.cross_entropy),
            has_teacher,
            rows,
            timing: Vec::new(),
            timing_from: span.resume,
            last: None,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
fn means(sums: &LossSums) -> [f64; 4] {
    let tokens = sums.tokens as f64;
    [sums.cross_entropy, sums.forward_kl, sums.teacher_cross_entropy, sums.agreed as f64]
        .map(|sum| sum / tokens)
}

impl Record for Recording {
    type Report = StepReport;
    type Verdict = LossSums;

    #[expect(clippy::cast_precision_loss, reason = "counts that are shown")]
    fn report(&mut self, step: Step, report: StepReport, waits: Waits) {
        let mean = means(&report.sums);
        let loss = self.weights.0 * mean[1] + self.weights.1 * mean[0];
        self.rows.steps.push((step.0, loss, mean, report.learning_rate, report.gradient_norm));
        self.rows.tokens.push(report.sums.tokens);
        let (waited, busy) = (waits.waited.as_secs_f64(), waits.busy.as_secs_f64());
        let tokens_per_second = report.sums.tokens as f64 / (waited + busy).max(1e-9);
        let share = waited / (waited + busy).max(1e-9);
        self.timing.push([step.0 as f64, tokens_per_second, share, resident_memory_bytes() as f64]);
        let judged = self.last;
        self.ctx.progress.at(step.0 + 1, || {
            let held_out = judged
                .map(|sums| format!(", held-out CE {:.4}", means(&sums)[0]))
                .unwrap_or_default();
            let kl = if self.has_teacher { format!("KL {:.4}, ", mean[1]) } else { String::new() };
            format!("{kl}CE {:.4}, {tokens_per_second:.0} tokens/s{held_out}", mean[0])
        });
    }

    fn verdict(&mut self, step: Step, verdict: LossSums) {
        self.rows.evaluations.push((step.0, verdict.tokens, means(&verdict)));
        self.last = Some(verdict);
    }

    fn part(&mut self, step: Step) -> Staging {
        let rows = self.rows.clone();
        if is_regular(step.0, self.span) {
            self.rows = Rows::default();
        }
        let timing = std::mem::take(&mut self.timing);
        let incarnation = self.ctx.run.events.incarnation();
        let dir = self.ctx.run.path.join("timing").join(self.stage);
        let name = format!("steps-{:08}-{incarnation}.parquet", self.timing_from);
        self.timing_from = step.0;
        let (checkpoints, has_teacher) = (Arc::clone(&self.checkpoints), self.has_teacher);
        Box::new(move || {
            let write = || -> Result<_, Error> {
                datasets::store::create_dir_all(&dir)?;
                timing_table(&timing).write(&dir.join(name))?;
                let dir: PathBuf = checkpoints.part_dir(step.0)?;
                let steps = rows.steps_table(has_teacher).write(&dir.join(STEPS))?;
                let evaluations =
                    rows.evaluations_table(has_teacher).write(&dir.join(EVALUATIONS))?;
                Ok(vec![part("record", STEPS, steps), part("record", EVALUATIONS, evaluations)])
            };
            write().map_err(Failure::of)
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers, kept with others"
)]
fn timing_table(rows: &[[f64; 4]]) -> Table {
    let whole = |i: usize| Column::U64(rows.iter().map(|row| row[i] as u64).collect());
    let number = |i: usize| Column::F64(rows.iter().map(|row| row[i]).collect());
    Table::new([
        ("step", whole(0)),
        ("tokens_per_second", number(1)),
        ("waiting_share", number(2)),
        ("resident_memory_bytes", whole(3)),
    ])
}

impl Rows {
    fn steps_table(&self, has_teacher: bool) -> Table {
        let steps = &self.steps;
        let mut columns = vec![
            ("step", Column::U64(steps.iter().map(|row| row.0).collect())),
            ("tokens", Column::U64(self.tokens.clone())),
            ("loss", Column::F64(steps.iter().map(|row| row.1).collect())),
        ];
        columns.extend(sums(steps.iter().map(|row| row.2), has_teacher));
        columns.push(("learning_rate", Column::F64(steps.iter().map(|row| row.3).collect())));
        columns.push(("gradient_norm", Column::F64(steps.iter().map(|row| row.4).collect())));
        Table::new(columns)
    }

    fn evaluations_table(&self, has_teacher: bool) -> Table {
        let rows = &self.evaluations;
        let mut columns = vec![
            ("step", Column::U64(rows.iter().map(|row| row.0).collect())),
            ("tokens", Column::U64(rows.iter().map(|row| row.1).collect())),
        ];
        columns.extend(sums(rows.iter().map(|row| row.2), has_teacher));
        Table::new(columns)
    }

    /// What [`Recording`] staged in `dir`.
    fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(STEPS);
        let table = Table::read(&path)?;
        let (step, loss) = (counts(&table, "step", &path)?, numbers(&table, "loss", &path)?);
        let (rate, norm) =
            (numbers(&table, "learning_rate", &path)?, numbers(&table, "gradient_norm", &path)?);
        let means = read_sums(&table)?;
        let steps =
            (0..step.len()).map(|i| (step[i], loss[i], means[i], rate[i], norm[i])).collect();
        let tokens = counts(&table, "tokens", &path)?;
        let path = dir.join(EVALUATIONS);
        let table = Table::read(&path)?;
        let (step, judged) = (counts(&table, "step", &path)?, counts(&table, "tokens", &path)?);
        let means = read_sums(&table)?;
        let evaluations = (0..step.len()).map(|i| (step[i], judged[i], means[i])).collect();
        Ok(Self { steps, tokens, evaluations })
    }
}

/// The columns of means; without a teacher the first alone.
fn sums(
    rows: impl Iterator<Item = [f64; 4]> + Clone,
    has_teacher: bool,
) -> Vec<(&'static str, Column)> {
    let count = if has_teacher { SUMS.len() } else { 1 };
    (0..count).map(|i| (SUMS[i], Column::F64(rows.clone().map(|row| row[i]).collect()))).collect()
}

fn read_sums(table: &Table) -> Result<Vec<[f64; 4]>, Error> {
    let mut rows = vec![[0.0; 4]; table.num_rows()];
    for (i, name) in SUMS.iter().enumerate() {
        if let Some(Column::F64(values)) = table.column(name) {
            rows.iter_mut().zip(values).for_each(|(row, value)| row[i] = *value);
        }
    }
    Ok(rows)
}

fn counts(table: &Table, name: &str, path: &Path) -> Result<Vec<u64>, Error> {
    match table.column(name) {
        Some(Column::U64(values)) => Ok(values.clone()),
        _ => Err(no_column(name, path)),
    }
}

fn numbers(table: &Table, name: &str, path: &Path) -> Result<Vec<f64>, Error> {
    match table.column(name) {
        Some(Column::F64(values)) => Ok(values.clone()),
        _ => Err(no_column(name, path)),
    }
}

fn no_column(name: &str, path: &Path) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        reason: format!("it has no column `{name}` of the right type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { resume: 0, end: 25, every: 10 };

    #[test]
    fn the_rows_of_a_checkpoint_begin_at_the_multiple_before_it() {
        let places = [1, 9, 10, 11, 20, 25].map(|step| (from(step, SPAN), is_regular(step, SPAN)));
        assert_eq!(
            places,
            [(0, false), (0, false), (0, true), (10, false), (10, true), (20, true)]
        );
        let once = Span { every: 0, ..SPAN };
        assert_eq!((from(25, once), is_regular(25, once), is_regular(10, once)), (0, true, false));
    }

    #[test]
    fn rows_that_were_staged_are_taken_up_bit_for_bit() {
        let rows = Rows {
            steps: vec![(7, 0.1 + 0.2, [1.0 / 3.0, 0.5, 0.25, 0.125], 1e-4, 2.5)],
            tokens: vec![2048],
            evaluations: vec![],
        };
        let dir = tempfile::tempdir().unwrap();
        rows.steps_table(true).write(&dir.path().join(STEPS)).unwrap();
        rows.evaluations_table(true).write(&dir.path().join(EVALUATIONS)).unwrap();
        assert_eq!(Rows::read(dir.path()).unwrap(), rows);
    }
}
