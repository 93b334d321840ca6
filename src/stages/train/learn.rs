//! The student, and its teacher if that goes on learning, too: gradients by micro-batch, an update by step, its state at a checkpoint.

use std::sync::Arc;
use std::time::Instant;

use dataflows::roles::{Learn, Staging};
use dataflows::{At, Failure, InProcess, Step};
use datasets::store::Checkpoints;
use serde_json::json;

use super::teach::Lesson;
use super::{STATE, TEACHER};
use crate::distill::Trainer;
use crate::distill::trainer::StepReport;
use crate::eval::losses::lesson_with as said_by;
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
    /// The teacher that is corrected while it teaches: what it says of a step is what the steps before made of it, so
    /// it is asked here and not ahead.
    pub correction: Option<Trainer>,
    /// The teacher's norms whose outputs the student's are compared with.
    pub norms: Vec<usize>,
    /// Where its state goes.
    pub checkpoints: Arc<Checkpoints>,
}

/// What was learnt at a step.
pub struct Learnt {
    /// The student.
    pub student: Decoder,
    /// The teacher, if it learns, too.
    pub teacher: Option<Decoder>,
}

impl Learn for Learning {
    type Lesson = InProcess<Lesson>;
    type Report = StepReport;
    type Snapshot = Learnt;

    fn learn(&mut self, _: At, InProcess(lesson): Self::Lesson) -> Result<(), Failure> {
        let Some(correction) = &mut self.correction else {
            self.trainer.accumulate(&lesson.batch, lesson.teacher.as_ref(), &lesson.states);
            return Ok(());
        };
        let (said, states) = said_by(correction.student(), &lesson.batch, &self.norms);
        self.trainer.accumulate(&lesson.batch, Some(&said), &states);
        correction.accumulate(&lesson.batch, None, &[]);
        Ok(())
    }

    fn update(&mut self, step: Step) -> Result<StepReport, Failure> {
        if let Some(correction) = &mut self.correction {
            correction.update(step.0).map_err(Failure::of)?;
        }
        self.trainer.update(step.0).map_err(Failure::of)
    }

    fn snapshot(&mut self) -> Learnt {
        Learnt {
            student: self.trainer.student().clone(),
            teacher: self.correction.as_ref().map(|correction| correction.student().clone()),
        }
    }

    fn part(&mut self, step: Step) -> Staging {
        let mut states = vec![(STATE, self.trainer.state())];
        states.extend(self.correction.as_ref().map(|correction| (TEACHER, correction.state())));
        let checkpoints = Arc::clone(&self.checkpoints);
        let (ctx, stage) = (Arc::clone(&self.ctx), self.stage);
        Box::new(move || {
            let dir = checkpoints.part_dir(step.0).map_err(Failure::of)?;
            let mut parts = Vec::new();
            for (name, state) in states {
                let begun = Instant::now();
                let written = state.write(&dir.join(name)).map_err(Failure::of)?;
                let ms = begun.elapsed().as_secs_f64() * 1e3;
                let fields = json!({"stage": stage, "step": step.0, "part": name, "bytes": written.bytes, "ms": ms});
                ctx.run.events.push("staged", fields);
                parts.push(part("learn", name, written));
            }
            Ok(parts)
        })
    }
}
