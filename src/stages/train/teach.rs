//! What the teacher says about a micro-batch: its hidden states, of which the loss makes logits, chunk by chunk.

use dataflows::roles::Work;
use dataflows::{At, Failure, InProcess};
use kernels::loss::Teacher;

use crate::distill::Batch;
use crate::eval::losses::lesson;
use crate::model::Decoder;

/// A micro-batch, and what the teacher says about it.
pub struct Lesson {
    /// The micro-batch.
    pub batch: Batch,
    /// Nothing, for plain training.
    pub teacher: Option<Teacher>,
}

/// Asks the teacher.
pub struct Teaching {
    /// None, for plain training, and where the teacher learns, too.
    pub teacher: Option<Decoder>,
}

impl Work for Teaching {
    type Batch = Batch;
    type Output = InProcess<Lesson>;

    fn work(&mut self, _: At, batch: Batch) -> Result<InProcess<Lesson>, Failure> {
        let teacher = self.teacher.as_ref().map(|teacher| lesson(teacher, &batch));
        Ok(InProcess(Lesson { batch, teacher }))
    }
}
