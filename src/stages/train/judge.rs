//! The student on held-out text, while training goes on.

use dataflows::roles::Judge;
use dataflows::{Failure, Step};
use kernels::loss::LossSums;

use super::learn::Learnt;
use crate::eval::{HeldOut, losses};
use crate::model::Decoder;

/// Judges a student.
pub struct Judging {
    /// What it is judged on.
    pub held_out: HeldOut,
    /// Whom it is compared with, unless that learns, too.
    pub teacher: Option<Decoder>,
}

impl Judge for Judging {
    type Snapshot = Learnt;
    type Verdict = LossSums;

    fn judge(&mut self, _: Step, learnt: Learnt) -> Result<LossSums, Failure> {
        let teacher = learnt.teacher.as_ref().or(self.teacher.as_ref());
        Ok(losses::over(&learnt.student, teacher, &self.held_out))
    }
}
