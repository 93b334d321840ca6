//! A micro-batch through a model, and through what is left of it without each gap.
//!
//! The stream at every layer boundary is kept, and only the layers after a gap run again, on what went into it.

use std::ops::Range;

use kernels::attention::Documents;
use kernels::host::take;
use kernels::loss::{Objective, head_loss};
use kernels::rope::RopeTables;
use kernels::{DType, Int, Tensor};

use super::{DepthSums, gaps};
use crate::distill::Batch;
use crate::eval::choice::answers::{inputs, log_likelihoods};
use crate::eval::choice::{Answers, Question};
use crate::model::Decoder;

/// A model that is looked at without some of its layers.
#[derive(Clone, Debug)]
pub struct Walk {
    model: Decoder,
    /// `W Wᵀ` of the head in f32, with which the squared norm of logits is that of hidden states: `[hidden, hidden]`.
    gram: Tensor<2>,
    /// Of the blocks that are removed, beside single layers.
    lengths: Vec<usize>,
}

/// A micro-batch on its way: the stream before each layer and after the last.
struct Pass<'a> {
    model: &'a Decoder,
    batch: usize,
    rope: RopeTables,
    documents: Option<Documents>,
    stream: Vec<Tensor<2>>,
    layer_forwards: u64,
}

impl<'a> Pass<'a> {
    /// Through the whole model.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    fn new(model: &'a Decoder, ids: &Tensor<2, Int>, documents: Option<Documents>) -> Self {
        let [batch, seq] = ids.dims();
        let (rope, stream) = (model.rope(0, seq), vec![model.embed(ids)]);
        let mut pass = Self { model, batch, rope, documents, stream, layer_forwards: 0 };
        for index in 0..model.config.num_hidden_layers {
            let next = pass.layer(index, pass.stream[index].clone());
            pass.stream.push(next);
        }
        pass
    }

    /// The stream after layer `index`.
    fn layer(&mut self, index: usize, x: Tensor<2>) -> Tensor<2> {
        self.layer_forwards += 1;
        self.model.layer(index, x, self.batch, &self.rope, self.documents.as_ref())
    }

    /// What the head reads if the layers of `gap` are not there.
    ///
    /// # Shapes
    ///
    /// - output: `[batch * seq, hidden]`
    fn without(&mut self, gap: Range<usize>) -> Tensor<2> {
        let mut x = self.stream[gap.start].clone();
        for index in gap.end..self.model.config.num_hidden_layers {
            x = self.layer(index, x);
        }
        self.model.final_norm(x)
    }
}

impl Walk {
    /// Of a model that is to lose a layer, or a block of one of these lengths.
    #[must_use]
    pub fn new(model: Decoder, lengths: &[usize]) -> Self {
        let head = model.head().cast(DType::F32);
        let gram = head.clone().matmul(head.transpose());
        Self { model, gram, lengths: lengths.to_vec() }
    }

    /// What a micro-batch of text says of each gap.
    #[must_use]
    pub fn sums(&self, batch: &Batch) -> DepthSums {
        let (model, device) = (&self.model, self.model.device());
        let layers = model.config.num_hidden_layers;
        let (labels, predicted) = (batch.labels(&device), predicted(batch));
        let mut pass = Pass::new(model, &batch.inputs(&device), batch.documents());
        let (head, objective) = (model.head(), Objective::cross_entropy());
        let loss =
            |hidden: &Tensor<2>| head_loss(hidden, &head, None, &labels, &objective).cross_entropy;
        let over = |rows: &[f64]| predicted.iter().map(|row| rows[*row]).sum::<f64>();
        let whole = pass.without(layers..layers);
        let norms: Vec<_> = pass.stream.iter().map(|x| dots(x, x)).collect();
        let mut sums = DepthSums::zeros(layers, &self.lengths);
        sums.tokens = batch.num_tokens();
        sums.loss = loss(&whole);
        sums.logits = over(&self.logit_norms(whole.clone()));
        for (gap, removed) in gaps(layers, &self.lengths).zip(&mut sums.removed) {
            let between = dots(&pass.stream[gap.start], &pass.stream[gap.end]);
            let lengths = norms[gap.start].iter().zip(&norms[gap.end]).map(|(a, b)| (a * b).sqrt());
            let cosines: Vec<f64> = between.iter().zip(lengths).map(|(xy, l)| xy / l).collect();
            let hidden = pass.without(gap);
            removed.loss = loss(&hidden);
            removed.cosine = over(&cosines);
            removed.logit_error = over(&self.logit_norms(whole.clone() - hidden));
        }
        sums.layer_forwards = pass.layer_forwards;
        sums
    }

    /// What is answered without each gap.
    #[must_use]
    pub fn answers(&self, questions: &[Question]) -> DepthSums {
        let (model, device) = (&self.model, self.model.device());
        let (layers, head) = (model.config.num_hidden_layers, model.head());
        let mut pass = Pass::new(model, &inputs(questions, &device), None);
        let answers =
            |hidden: &Tensor<2>| Answers::of(questions, &log_likelihoods(questions, hidden, &head));
        let mut sums = DepthSums::zeros(layers, &self.lengths);
        sums.answers = answers(&pass.without(layers..layers));
        for (gap, removed) in gaps(layers, &self.lengths).zip(&mut sums.removed) {
            let Answers { right, log_likelihood, .. } = answers(&pass.without(gap));
            (removed.right, removed.log_likelihood) = (right, log_likelihood);
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
