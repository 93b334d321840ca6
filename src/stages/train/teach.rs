//! What the teacher says about a micro-batch: its hidden states, of which the loss makes logits, chunk by chunk, and those
//! of its layers that are compared; or what it said once, out of a cache.

use dataflows::roles::Work;
use dataflows::{At, Failure, InProcess};
use kernels::Tensor;
use kernels::loss::Teacher;

use super::feed::Fed;
use crate::distill::Batch;
use crate::eval::losses::lesson_with;
use crate::model::Decoder;
use crate::stages::logits::cached::Reading;

/// A micro-batch, and what the teacher says about it.
pub struct Lesson {
    /// The micro-batch.
    pub batch: Batch,
    /// Nothing, for plain training.
    pub teacher: Option<Teacher>,
    /// Its hidden states that the student's are compared with.
    pub states: Vec<Tensor<2>>,
}

/// Asks the teacher.
pub struct Teaching {
    /// None, for plain training, and where the teacher learns, too.
    pub teacher: Option<Decoder>,
    /// Its norms whose outputs the student's are compared with.
    pub norms: Vec<usize>,
    /// Reads the lessons from a cache; it, and no teacher, is asked.
    pub cached: Option<Reading>,
}

impl Work for Teaching {
    type Batch = Fed;
    type Output = InProcess<Lesson>;

    fn work(&mut self, _: At, fed: Fed) -> Result<InProcess<Lesson>, Failure> {
        let Fed { mut batch, pieces } = fed;
        if let Some(cached) = &mut self.cached {
            let sparse = cached.lesson(&mut batch, &pieces).map_err(Failure::of)?;
            let teacher = Some(Teacher::Sparse(sparse));
            return Ok(InProcess(Lesson { batch, teacher, states: Vec::new() }));
        }
        let said = self.teacher.as_ref().map(|teacher| lesson_with(teacher, &batch, &self.norms));
        let (teacher, states) = said.unzip();
        Ok(InProcess(Lesson { batch, teacher, states: states.unwrap_or_default() }))
    }
}
