//! A decoder: embedding, layers, final norm, head; forward, and backward with or without recomputation.

use kernels::attention::Documents;
use kernels::loss::{
    HeadGradients, LossSums, Objective, Teacher, head_loss, head_loss_and_gradients,
};
use kernels::rms_norm::{rms_norm, rms_norm_backward};
use kernels::rope::RopeTables;
use kernels::{DType, Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::config::ModelConfig;
use super::layer::{self, Past, Site, Tap};
use super::parameters::Parameters;
use super::rope::frequencies;

/// What the backward pass keeps of the forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// The inputs of the layers; a layer's activations are computed again when its turn comes.
    #[default]
    Block,
    /// All activations.
    None,
}

impl Recompute {
    /// The word of a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::None => "none",
        }
    }
}

/// What has a gradient of hidden states: see [`Decoder::loss_and_gradients_with`].
pub type Enter<'a> = dyn FnMut(usize, &Tensor<2>) -> Option<Tensor<2>> + 'a;

/// A decoder's shape and tensors.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The shape.
    pub config: ModelConfig,
    /// The tensors.
    pub parameters: Parameters,
}

impl Decoder {
    /// The device the tensors are on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.parameters.norm.device()
    }

    /// The head's weight: `[hidden, vocab]`.
    #[must_use]
    pub fn head(&self) -> Tensor<2> {
        match &self.parameters.lm_head {
            Some(head) => head.clone(),
            None => self.parameters.embed_tokens.clone().transpose(),
        }
    }

    /// Rotary tables for a pass over positions `first .. first + seq`.
    #[must_use]
    pub fn rope(&self, first: usize, seq: usize) -> RopeTables {
        RopeTables::new(&frequencies(&self.config), first, seq, &self.device())
    }

    /// The embeddings of a micro-batch: what the first layer reads.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    /// - output: `[batch * seq, hidden]`
    #[must_use]
    pub fn embed(&self, ids: &Tensor<2, Int>) -> Tensor<2> {
        let [batch, seq] = ids.dims();
        self.parameters.embed_tokens.clone().select(0, ids.clone().reshape([batch * seq]))
    }

    /// The hidden states after the final norm; `tap` sees what passes. With `documents`, attention stays within them.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    /// - output: `[batch * seq, hidden]`
    #[must_use]
    pub fn hidden(
        &self,
        ids: &Tensor<2, Int>,
        documents: Option<&Documents>,
        tap: &mut Tap<'_>,
    ) -> Tensor<2> {
        let [batch, seq] = ids.dims();
        let rope = self.rope(0, seq);
        let mut x = self.embed(ids);
        for (i, parameters) in self.parameters.layers.iter().enumerate() {
            (x, _) = layer::forward(
                &self.config,
                parameters,
                i,
                x,
                batch,
                &rope,
                documents,
                &mut None,
                tap,
            );
        }
        tap(self.parameters.layers.len(), Site::InputNormInput, &x);
        rms_norm(x, &self.parameters.norm, self.config.rms_norm_eps).0
    }

    /// The stream after one layer.
    ///
    /// # Shapes
    ///
    /// - x, output: `[batch * seq, hidden]`
    #[must_use]
    pub fn layer(
        &self,
        index: usize,
        x: Tensor<2>,
        batch: usize,
        rope: &RopeTables,
        documents: Option<&Documents>,
    ) -> Tensor<2> {
        let parameters = &self.parameters.layers[index];
        let (config, tap) = (&self.config, &mut |_: usize, _, _: &Tensor<2>| {});
        layer::forward(config, parameters, index, x, batch, rope, documents, &mut None, tap).0
    }

    /// What the head reads, of the stream after the last layer.
    ///
    /// # Shapes
    ///
    /// - x, output: `[batch * seq, hidden]`
    #[must_use]
    pub fn final_norm(&self, x: Tensor<2>) -> Tensor<2> {
        rms_norm(x, &self.parameters.norm, self.config.rms_norm_eps).0
    }

    /// The hidden states of positions that follow those in `past`, which is extended.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    /// - output: `[batch * seq, hidden]`
    #[must_use]
    pub fn hidden_after(&self, ids: &Tensor<2, Int>, past: &mut [Past]) -> Tensor<2> {
        let [batch, seq] = ids.dims();
        let first = past[0].as_ref().map_or(0, |(k, _)| k.dims()[2]);
        let rope = self.rope(first, seq);
        let mut x = self.embed(ids);
        for (i, parameters) in self.parameters.layers.iter().enumerate() {
            let (y, saved) = layer::forward(
                &self.config,
                parameters,
                i,
                x,
                batch,
                &rope,
                None,
                &mut past[i],
                &mut |_, _, _| {},
            );
            if past[i].is_none() {
                past[i] = Some(saved.keys_and_values());
            }
            x = y;
        }
        rms_norm(x, &self.parameters.norm, self.config.rms_norm_eps).0
    }

    /// The logits: for tests and for decoding, where `seq` is short.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    /// - output: `[batch * seq, vocab]`
    #[must_use]
    pub fn logits(&self, ids: &Tensor<2, Int>) -> Tensor<2> {
        self.hidden(ids, None, &mut |_, _, _| {}).matmul(self.head())
    }

    /// The sums of the losses.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`, labels: `[batch * seq]`
    #[must_use]
    pub fn loss(
        &self,
        ids: &Tensor<2, Int>,
        documents: Option<&Documents>,
        labels: &Tensor<1, Int>,
        teacher: Option<&Teacher>,
        objective: &Objective,
    ) -> LossSums {
        let hidden = self.hidden(ids, documents, &mut |_, _, _| {});
        head_loss(&hidden, &self.head(), teacher, labels, objective)
    }

    /// The sums of the losses, and `scale` times the gradients of all parameters, in f32.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`, labels: `[batch * seq]`
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is one thing of the equation")]
    pub fn loss_and_gradients(
        &self,
        ids: &Tensor<2, Int>,
        documents: Option<&Documents>,
        labels: &Tensor<1, Int>,
        teacher: Option<&Teacher>,
        objective: &Objective,
        scale: f64,
        recompute: Recompute,
    ) -> (LossSums, Parameters) {
        self.loss_and_gradients_with(
            ids,
            documents,
            labels,
            teacher,
            objective,
            scale,
            recompute,
            &mut |_, _| None,
        )
    }

    /// The same, of a loss that looks at hidden states as well: `enter` is called with what each norm of a layer's input
    /// made, from the last to the first, the final norm counting as that of one layer more, and returns the gradient
    /// that it has of it.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`, labels: `[batch * seq]`, what `enter` gets and returns: `[batch * seq, hidden]`
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is one thing of the equation")]
    pub fn loss_and_gradients_with(
        &self,
        ids: &Tensor<2, Int>,
        documents: Option<&Documents>,
        labels: &Tensor<1, Int>,
        teacher: Option<&Teacher>,
        objective: &Objective,
        scale: f64,
        recompute: Recompute,
        enter: &mut Enter<'_>,
    ) -> (LossSums, Parameters) {
        let [batch, seq] = ids.dims();
        let rope = self.rope(0, seq);
        let run = |i: usize, x: Tensor<2>| {
            let parameters = &self.parameters.layers[i];
            layer::forward(
                &self.config,
                parameters,
                i,
                x,
                batch,
                &rope,
                documents,
                &mut None,
                &mut |_, _, _| {},
            )
        };
        let mut x = self.embed(ids);
        let mut kept = Vec::with_capacity(self.parameters.layers.len());
        for i in 0..self.parameters.layers.len() {
            let input = x.clone();
            let (y, saved) = run(i, x);
            kept.push(match recompute {
                Recompute::None => Kept::All(Box::new(saved)),
                Recompute::Block => Kept::Input(input),
            });
            x = y;
        }
        let (hidden, rms) = rms_norm(x.clone(), &self.parameters.norm, self.config.rms_norm_eps);
        let (sums, gradients) =
            head_loss_and_gradients(&hidden, &self.head(), teacher, labels, objective, scale);
        let HeadGradients { hidden: mut d_hidden, head } = gradients;
        if let Some(entering) = enter(kept.len(), &hidden) {
            d_hidden = d_hidden + entering;
        }

        let (mut dx, norm) = rms_norm_backward(x, rms, &self.parameters.norm, d_hidden);
        let mut layers = Vec::with_capacity(kept.len());
        for (i, kept) in kept.into_iter().enumerate().rev() {
            let saved = match kept {
                Kept::All(saved) => *saved,
                Kept::Input(x) => run(i, x).1,
            };
            let (layer, entering) = (&self.parameters.layers[i], enter(i, saved.normed()));
            let (next, gradients) = layer::backward(layer, saved, dx, entering, &rope);
            dx = next;
            layers.push(gradients);
        }
        layers.reverse();
        let tied = self.parameters.lm_head.is_none();
        let embedding = if tied { head.clone().transpose() } else { self.zero_embedding() };
        let embed_tokens = scatter_rows(embedding, ids, dx.cast(DType::F32));
        (sums, Parameters { embed_tokens, layers, norm, lm_head: (!tied).then_some(head) })
    }

    fn zero_embedding(&self) -> Tensor<2> {
        let [vocab, hidden] = self.parameters.embed_tokens.dims();
        Tensor::zeros([vocab, hidden], (&self.device(), DType::F32))
    }
}

#[expect(clippy::large_enum_variant, reason = "there are as many as layers")]
enum Kept {
    All(Box<layer::Saved>),
    Input(Tensor<2>),
}

/// Adds row `i` of `dx` to the row of `table` that token `i` came from.
///
/// # Shapes
///
/// - table, output: `[vocab, hidden]`, ids: `[batch, seq]`, dx: `[batch * seq, hidden]`
fn scatter_rows(table: Tensor<2>, ids: &Tensor<2, Int>, dx: Tensor<2>) -> Tensor<2> {
    let [batch, seq] = ids.dims();
    let [vocab, hidden] = table.dims();
    let device = table.device();
    if !kernels::host::is_host(&device) {
        let ids = ids.clone().reshape([batch * seq]);
        return table.select_assign(0, ids, dx, burn::tensor::IndexingUpdateOp::Add);
    }
    let (mut rows, dx) = (kernels::host::take(table), kernels::host::take(dx));
    for (id, dx) in kernels::host::take_ints(ids.clone()).into_iter().zip(dx.chunks(hidden)) {
        let start = usize::try_from(id).expect("ids are checked when they are read") * hidden;
        rows[start..start + hidden].iter_mut().zip(dx).for_each(|(row, dx)| *row += dx);
    }
    kernels::host::give(rows, [vocab, hidden], &device)
}
