//! The student: gradients by micro-batch, an update by step, its state at a checkpoint.

use std::sync::Arc;
use std::time::Instant;

use dataflows::roles::{Learn, Staging};
use dataflows::{At, Failure, InProcess, Step};
use datasets::store::Checkpoints;
use serde_json::json;

use super::STATE;
use super::teach::Lesson;
use crate::distill::Trainer;
use crate::distill::trainer::StepReport;
use crate::model::Decoder;
use crate::stages::commit::part;
use crate::stages::context::Context;

/// The student in training.
pub struct Learning {
    /// Of the run.
    pub ctx: Arc<Context>,
    /// The stage.
    pub stage: &'static str,
    /// The trainer, at the step that the run goes on from.
    pub trainer: Trainer,
    /// Where its state goes.
    pub checkpoints: Arc<Checkpoints>,
}

impl Learn for Learning {
    type Lesson = InProcess<Lesson>;
    type Report = StepReport;
    type Snapshot = Decoder;

    fn learn(&mut self, _: At, InProcess(lesson): Self::Lesson) -> Result<(), Failure> {
        self.trainer.accumulate(&lesson.batch, lesson.teacher.as_ref());
        Ok(())
    }

    fn update(&mut self, step: Step) -> Result<StepReport, Failure> {
        self.trainer.update(step.0).map_err(Failure::of)
    }

    fn snapshot(&mut self) -> Decoder {
        self.trainer.student().clone()
    }

    fn part(&mut self, step: Step) -> Staging {
        let (state, checkpoints) = (self.trainer.state(), Arc::clone(&self.checkpoints));
        let (ctx, stage) = (Arc::clone(&self.ctx), self.stage);
        Box::new(move || {
            let begun = Instant::now();
            let path = checkpoints.part_dir(step.0).map_err(Failure::of)?.join(STATE);
            let written = state.write(&path).map_err(Failure::of)?;
            let ms = begun.elapsed().as_secs_f64() * 1e3;
            let fields = json!({"stage": stage, "step": step.0, "part": STATE, "bytes": written.bytes, "ms": ms});
            ctx.run.events.push("staged", fields);
            Ok(vec![part("learn", STATE, written)])
        })
    }
}
