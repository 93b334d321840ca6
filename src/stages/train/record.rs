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
use kernels::loss::{HIDDEN, LossSums};

use super::Run;
use super::rows::{
    EVALUATIONS, EvaluationRow, Rows, STEPS, StepRow, TimingRow, means, timing_table,
};
use crate::distill::trainer::StepReport;
use crate::error::Error;
use crate::run::resident_memory_bytes;
use crate::stages::commit::{copy, part};
use crate::stages::context::Context;
use crate::stages::watch::Watching;

/// Keeps the rows.
pub struct Recording {
    ctx: Arc<Context>,
    stage: &'static str,
    checkpoints: Arc<Checkpoints>,
    span: Span,
    /// Which of the other losses have a column: places among [`OTHERS`](kernels::loss::OTHERS).
    others: Vec<usize>,
    /// Whether there is one that teaches, and one that the student is compared with when it is judged: a cache teaches
    /// alone, and the columns of comparisons are then not there.
    has_teacher: [bool; 2],
    watching: Watching,
    rows: Rows,
    timing: Vec<TimingRow>,
    timing_from: u64,
    last: Option<LossSums>,
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
    #[expect(clippy::too_many_arguments, reason = "what it records of, each said once")]
    pub(super) fn begin(
        ctx: &Arc<Context>,
        stage: &'static str,
        checkpoints: &Arc<Checkpoints>,
        newest: Option<&Checkpoint>,
        span: Span,
        run: &Run<'_>,
        has_teacher: [bool; 2],
        watching: Watching,
    ) -> Result<Self, Error> {
        let rows = match newest.filter(|checkpoint| !is_regular(checkpoint.step, span)) {
            Some(checkpoint) => Rows::read(&checkpoint.dir)?,
            None => Rows::default(),
        };
        let others = run.aims.objective.others().filter_map(|term| term.divergence.other());
        let others = others.chain(run.aims.hidden.as_ref().map(|_| HIDDEN)).collect();
        Ok(Self {
            ctx: Arc::clone(ctx),
            stage,
            checkpoints: Arc::clone(checkpoints),
            span,
            others,
            has_teacher,
            watching,
            rows,
            timing: Vec::new(),
            timing_from: span.resume,
            last: None,
        })
    }
}

impl Record for Recording {
    type Report = StepReport;
    type Verdict = LossSums;

    #[expect(clippy::cast_precision_loss, reason = "counts that are shown")]
    fn report(&mut self, step: Step, report: StepReport, waits: Waits) {
        let mean = means(&report.sums);
        self.rows.steps.push(StepRow::new(step.0, &report));
        let (waited, busy) = (waits.waited.as_secs_f64(), waits.busy.as_secs_f64());
        let seconds = (waited + busy).max(1e-9);
        let tokens_per_second = report.sums.tokens as f64 / seconds;
        self.timing.push(TimingRow {
            step: step.0,
            tokens_per_second,
            waiting_share: waited / seconds,
            resident_memory_bytes: resident_memory_bytes(),
        });
        let (judged, watching) = (self.last, &self.watching);
        self.ctx.progress.at(step.0 + 1, || {
            let held_out = judged
                .map(|sums| format!(", held-out CE {:.4}", means(&sums)[0]))
                .unwrap_or_default();
            let kl =
                if self.has_teacher[0] { format!("KL {:.4}, ", mean[1]) } else { String::new() };
            let data = watching.said();
            format!("{kl}CE {:.4}, {tokens_per_second:.0} tokens/s{held_out}, {data}", mean[0])
        });
    }

    fn verdict(&mut self, step: Step, verdict: LossSums) {
        self.rows.evaluations.push(EvaluationRow::new(step.0, &verdict));
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
        let data = format!("data-{:08}-{incarnation}.parquet", self.timing_from);
        let watching = self.watching.clone();
        self.timing_from = step.0;
        let (checkpoints, has_teacher) = (Arc::clone(&self.checkpoints), self.has_teacher);
        let others = self.others.clone();
        Box::new(move || {
            let write = || -> Result<_, Error> {
                datasets::store::create_dir_all(&dir)?;
                timing_table(&timing).write(&dir.join(name))?;
                watching.table().write(&dir.join(data))?;
                let dir: PathBuf = checkpoints.part_dir(step.0)?;
                let steps = rows.steps_table(has_teacher[0], &others).write(&dir.join(STEPS))?;
                let evaluations =
                    rows.evaluations_table(has_teacher[1]).write(&dir.join(EVALUATIONS))?;
                Ok(vec![
                    part("record", STEPS, steps),
                    part("record", EVALUATIONS, evaluations),
                    watching.part(&dir, step.0)?,
                ])
            };
            write().map_err(Failure::of)
        })
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
}
