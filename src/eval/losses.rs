//! The sums of one model over one micro-batch, and over all.

use kernels::loss::{LossSums, Objective, Teacher};

use super::held_out::HeldOut;
use crate::distill::Batch;
use crate::model::Decoder;

/// What the loss needs of the teacher, for one micro-batch.
pub fn lesson(teacher: &Decoder, batch: &Batch) -> Teacher {
    let ids = batch.inputs(&teacher.device());
    Teacher {
        hidden: teacher.hidden(&ids, batch.documents().as_ref(), &mut |_, _, _| {}),
        head: teacher.head(),
    }
}

/// The sums of `model`: cross-entropy, and with a teacher forward KL at τ = 1 and agreement.
pub fn losses(model: &Decoder, teacher: Option<&Teacher>, batch: &Batch) -> LossSums {
    let device = model.device();
    let objective =
        if teacher.is_some() { Objective::forward_kl() } else { Objective::cross_entropy() };
    model.loss(
        &batch.inputs(&device),
        batch.documents().as_ref(),
        &batch.labels(&device),
        teacher,
        &objective,
    )
}

/// The sums of `model` over everything held out: the plain loop.
pub fn over(model: &Decoder, teacher: Option<&Decoder>, held_out: &HeldOut) -> LossSums {
    let mut sums = LossSums::default();
    for index in 0..held_out.num_batches() {
        let batch = held_out.batch(index);
        let teacher = teacher.map(|teacher| lesson(teacher, &batch));
        sums.add(&losses(model, teacher.as_ref(), &batch));
    }
    sums
}
