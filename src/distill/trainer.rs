//! The trainer core: gradients summed over a global batch, clipped by their global norm, applied by AdamW to
//! f32 master weights.

use kernels::adamw::{AdamW, Moments, sum_of_squares};
use kernels::loss::{HIDDEN, LossSums, Objective, Teacher};
use kernels::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::balance::Balance;
use super::batch::Batch;
use super::hidden::{Hidden, Seen, plus};
use super::learning_rate::LearningRate;
use crate::model::{Decoder, Parameters, Recompute, Weight};

/// How a student is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The learning rate by step.
    pub learning_rate: LearningRate,
    /// What is minimised.
    pub objective: Objective,
    /// Whether the weight of the cross-entropy is multiplied by the divergences' part of the loss over it, of the step
    /// before.
    pub cross_entropy_is_dynamic: bool,
    /// The loss on hidden states, if there is one.
    pub hidden: Option<Hidden>,
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
    /// What was minimised, the mean over its tokens.
    pub loss: f64,
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
    /// From the student's width to the teacher's, f32: learnt, and no part of the student.
    pub(super) projection: Option<Tensor<2>>,
    /// Of the student's parameters in their order, and of the projection.
    pub(super) moments: Vec<(Weight, Weight)>,
    pub(super) balance: Balance,
    pub(super) working: DType,
    gradients: Option<Parameters>,
    projection_gradient: Option<Tensor<2>>,
    sums: LossSums,
}

impl Trainer {
    /// From f32 weights, at step zero.
    #[must_use]
    pub fn new(student: Decoder, working: DType, settings: Settings) -> Self {
        let projection = settings.hidden.as_ref().and_then(|h| h.begin(&student.device()));
        let named = student.parameters.named().into_iter().map(|(_, weight)| weight);
        let moments = named
            .chain(projection.clone().map(Weight::Matrix))
            .map(|w| (w.zeros(), w.zeros()))
            .collect();
        let balance = Balance::begin(&settings);
        Self::restore(Restored { student, projection, moments, balance }, working, settings)
    }

    /// From what a checkpoint holds.
    #[must_use]
    pub fn restore(from: Restored, working: DType, settings: Settings) -> Self {
        let Restored { student, projection, moments, balance } = from;
        let (student, master) = if working == DType::F32 {
            (student, None)
        } else {
            let master = student.parameters.clone();
            let parameters = student.parameters.cast(working);
            (Decoder { parameters, ..student }, Some(master))
        };
        Self {
            settings,
            student,
            master,
            projection,
            moments,
            balance,
            working,
            gradients: None,
            projection_gradient: None,
            sums: LossSums::default(),
        }
    }

    /// The student as it is, in its working type; cheap.
    #[must_use]
    pub fn student(&self) -> &Decoder {
        &self.student
    }

    /// Adds a micro-batch to the step's gradient. The order of micro-batches is part of the result.
    ///
    /// `states` are the teacher's hidden states at the norms that are compared, see [`Hidden::of_teacher`].
    pub fn accumulate(&mut self, batch: &Batch, teacher: Option<&Teacher>, states: &[Tensor<2>]) {
        let device = self.student.device();
        let (labels, scale) = (batch.labels(&device), 1.0 / self.settings.tokens_per_step as f64);
        let mut seen = Seen::default();
        let (sums, gradients) = self.student.loss_and_gradients_with(
            &batch.inputs(&device),
            batch.documents().as_ref(),
            &labels,
            teacher,
            &self.objective(),
            scale,
            self.settings.recompute,
            &mut |index, normed| {
                let hidden = self.settings.hidden.as_ref()?;
                let scale = scale * hidden.weight * self.balance.hidden;
                let projection = self.projection.as_ref();
                hidden.enter((index, normed), projection, states, &labels, scale, &mut seen)
            },
        );
        self.sums.add(&sums);
        self.sums.others[HIDDEN] += seen.sum;
        self.projection_gradient = plus(self.projection_gradient.take(), seen.projection);
        self.gradients = Some(match self.gradients.take() {
            Some(sum) => sum.plus(&gradients),
            None => gradients,
        });
    }

    /// What is minimised at this step, but for the hidden states.
    fn objective(&self) -> Objective {
        let objective = self.settings.objective.clone();
        let cross_entropy = objective.cross_entropy * self.balance.cross_entropy;
        Objective { cross_entropy, ..objective }
    }

    /// The mean over the tokens of these sums.
    fn loss(&self, sums: &LossSums) -> f64 {
        let loss = self.objective().mean(sums);
        match &self.settings.hidden {
            Some(hidden) => {
                let weight = hidden.weight * self.balance.hidden;
                loss + weight * (sums.others[HIDDEN] / sums.tokens as f64)
            }
            None => loss,
        }
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
        let mut gradients: Vec<Weight> = gradients.named().into_iter().map(|(_, g)| g).collect();
        gradients.extend(self.projection_gradient.take().map(Weight::Matrix));
        let (loss, s) = (self.loss(&sums), &self.settings);
        // Gradients are linear in what they were divided by: corrected here, once, where positions had no label.
        let correction = match sums.tokens {
            tokens if tokens == s.tokens_per_step => 1.0,
            tokens => s.tokens_per_step as f64 / tokens.max(1) as f64,
        };
        let gradient_norm = correction * gradients.iter().map(squares).sum::<f64>().sqrt();
        for (what, value) in [("loss", sums.total()), ("gradient norm", gradient_norm)] {
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
        if let Some(projection) = self.projection.take() {
            let Ok(projection) = apply("hidden.projection", Weight::Matrix(projection));
            self.projection = projection.matrix();
        }
        self.moments = moments;
        self.balance = Balance::after(&self.settings, &sums);
        Ok(StepReport { sums, loss, learning_rate, gradient_norm })
    }
}

/// What a checkpoint holds of a trainer.
pub struct Restored {
    /// In f32.
    pub student: Decoder,
    /// If the hidden states of two widths are compared.
    pub projection: Option<Tensor<2>>,
    /// Of the student's parameters in their order, and of the projection.
    pub moments: Vec<(Weight, Weight)>,
    /// Of the next step.
    pub balance: Balance,
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
