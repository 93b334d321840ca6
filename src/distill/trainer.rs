//! The trainer core: gradients summed over a global batch, clipped by their global norm, applied by AdamW to
//! f32 master weights.

use kernels::adamw::{AdamW, Moments, sum_of_squares};
use kernels::loss::{LossSums, Objective, Teacher};
use kernels::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::learning_rate::LearningRate;
use crate::model::{Decoder, Parameters, Recompute, Weight};

/// How a student is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The learning rate by step.
    pub learning_rate: LearningRate,
    /// What is minimised.
    pub objective: Objective,
    /// Positions of a global batch: what the gradient is divided by, once; where fewer have labels, by as many.
    pub tokens_per_step: u64,
    /// AdamW's β₁.
    pub beta1: f64,
    /// AdamW's β₂.
    pub beta2: f64,
    /// AdamW's ε.
    pub epsilon: f64,
    /// AdamW's λ, of matrices; norms and biases do not decay.
    pub weight_decay: f64,
    /// The largest global norm of a gradient.
    pub clip_norm: f64,
    /// What the backward pass keeps.
    pub recompute: Recompute,
}

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Of its global batch.
    pub sums: LossSums,
    /// Of its update.
    pub learning_rate: f64,
    /// Before clipping.
    pub gradient_norm: f64,
}

/// A loss or a gradient stopped being a number; the weights are those before the step.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the {what} of step {step} is {value}, not a finite number")]
pub struct NotFinite {
    /// Loss or gradient norm.
    pub what: &'static str,
    /// The step.
    pub step: u64,
    /// What it is.
    pub value: f64,
}

/// A student in training.
///
/// On the CPU the working weights are the master weights; on CUDA they are their bf16 image.
pub struct Trainer {
    pub(super) settings: Settings,
    pub(super) student: Decoder,
    /// Absent where the working weights are f32 already.
    pub(super) master: Option<Parameters>,
    pub(super) moments: Vec<(Weight, Weight)>,
    pub(super) working: DType,
    gradients: Option<Parameters>,
    sums: LossSums,
}

impl Trainer {
    /// From f32 weights, at step zero.
    #[must_use]
    pub fn new(student: Decoder, working: DType, settings: Settings) -> Self {
        let moments = student.parameters.named().into_iter();
        let moments = moments.map(|(_, w)| (w.zeros(), w.zeros())).collect();
        Self::restore(student, moments, working, settings)
    }

    /// From f32 weights and the moments of a checkpoint.
    #[must_use]
    pub fn restore(
        student: Decoder,
        moments: Vec<(Weight, Weight)>,
        working: DType,
        settings: Settings,
    ) -> Self {
        let (student, master) = if working == DType::F32 {
            (student, None)
        } else {
            let master = student.parameters.clone();
            let parameters = student.parameters.cast(working);
            (Decoder { parameters, ..student }, Some(master))
        };
        let sums = LossSums::default();
        Self { settings, student, master, moments, working, gradients: None, sums }
    }

    /// The student as it is, in its working type; cheap.
    #[must_use]
    pub fn student(&self) -> &Decoder {
        &self.student
    }

    /// Adds a micro-batch to the step's gradient. The order of micro-batches is part of the result.
    pub fn accumulate(&mut self, batch: &Batch, teacher: Option<&Teacher>) {
        let device = self.student.device();
        let (sums, gradients) = self.student.loss_and_gradients(
            &batch.inputs(&device),
            batch.documents().as_ref(),
            &batch.labels(&device),
            teacher,
            &self.settings.objective,
            1.0 / self.settings.tokens_per_step as f64,
            self.settings.recompute,
        );
        self.sums.add(&sums);
        self.gradients = Some(match self.gradients.take() {
            Some(sum) => sum.plus(&gradients),
            None => gradients,
        });
    }

    /// Applies the step's gradient.
    ///
    /// # Errors
    ///
    /// If the loss or the gradient is not finite; nothing is changed then.
    ///
    /// # Panics
    ///
    /// If nothing was accumulated.
    pub fn update(&mut self, step: u64) -> Result<StepReport, NotFinite> {
        let gradients = self.gradients.take().expect("a step has at least one micro-batch");
        let sums = std::mem::take(&mut self.sums);
        let gradients: Vec<Weight> = gradients.named().into_iter().map(|(_, g)| g).collect();
        let s = &self.settings;
        // Gradients are linear in what they were divided by: corrected here, once, where positions had no label.
        let correction = match sums.tokens {
            tokens if tokens == s.tokens_per_step => 1.0,
            tokens => s.tokens_per_step as f64 / tokens.max(1) as f64,
        };
        let gradient_norm = correction * gradients.iter().map(squares).sum::<f64>().sqrt();
        for (what, value) in
            [("loss", sums.cross_entropy + sums.forward_kl), ("gradient norm", gradient_norm)]
        {
            if !value.is_finite() {
                return Err(NotFinite { what, step, value });
            }
        }
        let learning_rate = s.learning_rate.at(step);
        let adamw = AdamW {
            learning_rate,
            beta1: s.beta1,
            beta2: s.beta2,
            epsilon: s.epsilon,
            weight_decay: 0.0,
            time: step + 1,
            gradient_scale: correction * (s.clip_norm / gradient_norm.max(1e-12)).min(1.0),
        };
        let decay = s.weight_decay;
        let mut state = std::mem::take(&mut self.moments).into_iter().zip(gradients);
        let mut moments = Vec::new();
        let mut apply = |_: &str, weight: Weight| {
            let ((first, second), gradient) = state.next().expect("moments of this model");
            let weight_decay = if weight.decays() { decay } else { 0.0 };
            let (weight, moment) =
                step_weight(&AdamW { weight_decay, ..adamw }, weight, first, second, gradient);
            moments.push(moment);
            Ok::<_, std::convert::Infallible>(weight)
        };
        // Moved out and back, so that nobody else holds the buffers and they are updated in place.
        let empty = || Parameters::empty(&self.student.device());
        match self.master.take() {
            None => {
                let blank = empty();
                let Ok(next) =
                    std::mem::replace(&mut self.student.parameters, blank).map(&mut apply);
                self.student.parameters = next;
            }
            Some(master) => {
                let Ok(next) = master.map(&mut apply);
                self.student.parameters = next.clone().cast(self.working);
                self.master = Some(next);
            }
        }
        self.moments = moments;
        Ok(StepReport { sums, learning_rate, gradient_norm })
    }
}

fn squares(gradient: &Weight) -> f64 {
    match gradient {
        Weight::Vector(g) => sum_of_squares(g),
        Weight::Table(g) | Weight::Matrix(g) => sum_of_squares(g),
    }
}

/// One parameter's update; all four are of one kind.
fn step_weight(
    adamw: &AdamW,
    weight: Weight,
    first: Weight,
    second: Weight,
    gradient: Weight,
) -> (Weight, (Weight, Weight)) {
    fn step<const D: usize>(
        adamw: &AdamW,
        tensors: [Tensor<D>; 4],
        wrap: fn(Tensor<D>) -> Weight,
    ) -> (Weight, (Weight, Weight)) {
        let [weight, first, second, gradient] = tensors;
        let next = adamw.step(Moments { weight, first, second }, gradient);
        (wrap(next.weight), (wrap(next.first), wrap(next.second)))
    }
    match (weight, first, second, gradient) {
        (Weight::Vector(w), Weight::Vector(m), Weight::Vector(v), Weight::Vector(g)) => {
            step(adamw, [w, m, v, g], Weight::Vector)
        }
        (Weight::Table(w), Weight::Table(m), Weight::Table(v), Weight::Table(g)) => {
            step(adamw, [w, m, v, g], Weight::Table)
        }
        (Weight::Matrix(w), Weight::Matrix(m), Weight::Matrix(v), Weight::Matrix(g)) => {
            step(adamw, [w, m, v, g], Weight::Matrix)
        }
        (w, ..) => panic!("moments of another model at a parameter of {:?}", w.stored_dims()),
    }
}
