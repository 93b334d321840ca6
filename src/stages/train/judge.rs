//! The student on held-out text, while training goes on.

use dataflows::roles::Judge;
use dataflows::{Failure, Step};
use kernels::loss::LossSums;

use crate::eval::{HeldOut, losses};
use crate::model::Decoder;

/// Judges a student.
pub struct Judging {
    /// What it is judged on.
    pub held_out: HeldOut,
    /// Whom it is compared with.
    pub teacher: Option<Decoder>,
}

impl Judge for Judging {
    type Snapshot = Decoder;
    type Verdict = LossSums;

    fn judge(&mut self, _: Step, student: Decoder) -> Result<LossSums, Failure> {
        Ok(losses::over(&student, self.teacher.as_ref(), &self.held_out))
    }
}
