//! The loss on hidden states as the trainer has it: which are compared, and the map between two widths, which is learnt.

use datasets::random;
use kernels::host::give;
use kernels::loss::{HiddenGradients, HiddenLoss, hidden_loss};
use kernels::{Device, Int, Tensor};

/// Which hidden states are compared, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Hidden {
    /// The distance of two states.
    pub loss: HiddenLoss,
    /// Its weight.
    pub weight: f64,
    /// Whether the weight is multiplied by the divergences' part of the loss over this one, of the step before.
    pub is_dynamic: bool,
    /// The norms whose outputs are compared, the teacher's and the student's; the mean over them is the loss.
    pub norms: Vec<(usize, usize)>,
    /// The student's width and the teacher's, if they differ: one linear map for all layers takes the one to the other.
    pub projection: Option<[usize; 2]>,
    /// Of the random numbers that the map begins with.
    pub seed: u64,
}

/// The gradients of a micro-batch.
#[derive(Default)]
pub(super) struct Seen {
    /// Σ over tokens of the mean over layers.
    pub(super) sum: f64,
    pub(super) projection: Option<Tensor<2>>,
}

impl Hidden {
    /// The norms of the teacher, in the order in which [`Hidden::enter`] wants what they made.
    #[must_use]
    pub fn of_teacher(&self) -> Vec<usize> {
        self.norms.iter().map(|(teacher, _)| *teacher).collect()
    }

    /// The map as it begins: normal, with a variance that keeps the length of what it maps.
    pub(super) fn begin(&self, device: &Device) -> Option<Tensor<2>> {
        let [hidden, wide] = self.projection?;
        let mut draws = random::stream(self.seed, "hidden.projection", 0, 0);
        let std = 1.0 / (hidden as f64).sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let values = (0..hidden * wide).map(|_| (random::normal(&mut draws) * std) as f32);
        Some(give(values.collect(), [hidden, wide], device))
    }

    /// The gradient of what the student's norm `index` made, if that is compared.
    ///
    /// # Shapes
    ///
    /// - normed, output: `[tokens, hidden]`, said: of [`Hidden::of_teacher`], each `[tokens, teacher's hidden]`,
    ///   labels: `[tokens]`
    pub(super) fn enter(
        &self,
        (index, normed): (usize, &Tensor<2>),
        projection: Option<&Tensor<2>>,
        said: &[Tensor<2>],
        labels: &Tensor<1, Int>,
        scale: f64,
        seen: &mut Seen,
    ) -> Option<Tensor<2>> {
        let mut entering: Option<Tensor<2>> = None;
        let share = 1.0 / self.norms.len() as f64;
        for ((_, of_student), said) in self.norms.iter().zip(said) {
            if *of_student != index {
                continue;
            }
            let (sum, gradients) =
                hidden_loss(self.loss, normed, projection, said, labels, scale * share);
            let HiddenGradients { student, projection } = gradients;
            seen.sum += sum * share;
            entering = plus(entering, Some(student));
            seen.projection = plus(seen.projection.take(), projection);
        }
        entering
    }
}

/// The sum of those that are there.
pub(super) fn plus(a: Option<Tensor<2>>, b: Option<Tensor<2>>) -> Option<Tensor<2>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
