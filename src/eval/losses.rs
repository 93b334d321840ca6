//! The sums of one model over one micro-batch, and over all.

use kernels::Tensor;
use kernels::loss::{LossSums, Objective, Teacher};

use super::held_out::HeldOut;
use crate::distill::Batch;
use crate::model::{Decoder, Site};

/// What the loss needs of the teacher, for one micro-batch.
pub fn lesson(teacher: &Decoder, batch: &Batch) -> Teacher {
    lesson_with(teacher, batch, &[]).0
}

/// The same, and what these norms of the teacher made: `[tokens, hidden]` each, the final norm counting as that of one
/// layer more.
pub fn lesson_with(teacher: &Decoder, batch: &Batch, norms: &[usize]) -> (Teacher, Vec<Tensor<2>>) {
    let ids = batch.inputs(&teacher.device());
    let mut seen: Vec<Option<Tensor<2>>> = vec![None; norms.len()];
    let mut see = |index: usize, normed: &Tensor<2>| {
        let places = norms.iter().zip(&mut seen).filter(|(norm, _)| **norm == index);
        places.for_each(|(_, place)| *place = Some(normed.clone()));
    };
    let hidden = teacher.hidden(&ids, batch.documents().as_ref(), &mut |layer, site, x| {
        if site == Site::InputNorm {
            see(layer, x);
        }
    });
    see(teacher.parameters.layers.len(), &hidden);
    (Teacher::Dense { hidden, head: teacher.head() }, seen.into_iter().flatten().collect())
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
