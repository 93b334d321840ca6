//! A micro-batch through a model, and through what is left of it without each gap.
//!
//! The stream at every layer boundary is kept, and only the layers after a gap run again, on what went into it.

use kernels::attention::Documents;
use kernels::host::take;
use kernels::loss::{Objective, head_loss};
use kernels::rope::RopeTables;
use kernels::{DType, Tensor};

use super::{DepthSums, Removed, gaps};
use crate::distill::Batch;
use crate::model::Decoder;

/// A model that is looked at without some of its layers.
#[derive(Clone, Debug)]
pub struct Walk {
    model: Decoder,
    /// `W Wᵀ` of the head in f32, with which the squared norm of logits is that of hidden states: `[hidden, hidden]`.
    gram: Tensor<2>,
    dropped: usize,
}

/// What stays the same for all gaps of a micro-batch.
struct Pass<'a> {
    model: &'a Decoder,
    batch: usize,
    rope: RopeTables,
    documents: Option<Documents>,
    layer_forwards: u64,
}

impl Pass<'_> {
    /// The stream after layer `index`.
    fn layer(&mut self, index: usize, x: Tensor<2>) -> Tensor<2> {
        self.layer_forwards += 1;
        self.model.layer(index, x, self.batch, &self.rope, self.documents.as_ref())
    }
}

impl Walk {
    /// Of a model that is to lose `dropped` layers.
    #[must_use]
    pub fn new(model: Decoder, dropped: usize) -> Self {
        let head = model.head().cast(DType::F32);
        let gram = head.clone().matmul(head.transpose());
        Self { model, gram, dropped }
    }

    /// What a micro-batch says of each gap.
    #[must_use]
    pub fn sums(&self, batch: &Batch) -> DepthSums {
        let (model, device) = (&self.model, self.model.device());
        let layers = model.config.num_hidden_layers;
        let (labels, predicted) = (batch.labels(&device), predicted(batch));
        let mut pass = Pass {
            model,
            batch: batch.batch,
            rope: model.rope(0, batch.seq),
            documents: batch.documents(),
            layer_forwards: 0,
        };
        let mut stream = vec![model.embed(&batch.inputs(&device))];
        for index in 0..layers {
            let next = pass.layer(index, stream[index].clone());
            stream.push(next);
        }
        let (head, objective) = (model.head(), Objective::cross_entropy());
        let loss =
            |hidden: &Tensor<2>| head_loss(hidden, &head, None, &labels, &objective).cross_entropy;
        let over = |rows: &[f64]| predicted.iter().map(|row| rows[*row]).sum::<f64>();
        let whole = model.final_norm(stream[layers].clone());
        let norms: Vec<_> = stream.iter().map(|x| dots(x, x)).collect();
        let mut sums = DepthSums::zeros(layers, self.dropped);
        sums.tokens = batch.num_tokens();
        sums.loss = loss(&whole);
        sums.logits = over(&self.logit_norms(whole.clone()));
        for (gap, removed) in gaps(layers, self.dropped).zip(&mut sums.removed) {
            let between = dots(&stream[gap.start], &stream[gap.end]);
            let lengths = norms[gap.start].iter().zip(&norms[gap.end]).map(|(a, b)| (a * b).sqrt());
            let cosines: Vec<f64> = between.iter().zip(lengths).map(|(xy, l)| xy / l).collect();
            let mut x = stream[gap.start].clone();
            for index in gap.end..layers {
                x = pass.layer(index, x);
            }
            let hidden = model.final_norm(x);
            *removed = Removed {
                loss: loss(&hidden),
                cosine: over(&cosines),
                logit_error: over(&self.logit_norms(whole.clone() - hidden)),
            };
        }
        sums.layer_forwards = pass.layer_forwards;
        sums
    }

    /// `‖h W‖² = h W Wᵀ hᵀ` of each position, without the logits.
    ///
    /// # Shapes
    ///
    /// - hidden: `[tokens, hidden]`
    fn logit_norms(&self, hidden: Tensor<2>) -> Vec<f64> {
        let hidden = hidden.cast(DType::F32);
        dots(&hidden.clone().matmul(self.gram.clone()), &hidden)
    }
}

/// The positions that predict something; the others are padding, or see another document's beginning next.
fn predicted(batch: &Batch) -> Vec<usize> {
    let mut unlabelled = batch.unlabelled.iter().map(|row| *row as usize).peekable();
    (0..batch.batch * batch.seq).filter(|row| unlabelled.next_if_eq(row).is_none()).collect()
}

/// `Σ_c x_c y_c` of each row.
///
/// # Shapes
///
/// - x, y: `[tokens, channels]`
fn dots(x: &Tensor<2>, y: &Tensor<2>) -> Vec<f64> {
    let products = x.clone().cast(DType::F32) * y.clone().cast(DType::F32);
    take(products.sum_dim(1)).into_iter().map(f64::from).collect()
}
