//! One decoder layer: attention and a gated MLP, each behind a norm and beside the residual stream.
//!
//! `h = x + Attention(RMSNorm(x)) W_o`, `y = h + SwiGLU(RMSNorm(h)) W_down`.

use kernels::Tensor;
use kernels::attention::{Documents, attention, attention_backward};
use kernels::rms_norm::{rms_norm, rms_norm_backward};
use kernels::rope::{RopeTables, rope_join, rope_split};
use kernels::swiglu::{swiglu, swiglu_backward};

use super::config::ModelConfig;
use super::parameters::LayerParameters;

/// Where importance looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The input of `input_layernorm`, and, as if of one layer more, of the final norm: `[tokens, hidden]`.
    InputNormInput,
    /// The output of `input_layernorm`: `[tokens, hidden]`.
    InputNorm,
    /// The input of `o_proj`: `[tokens, heads * head_dim]`.
    AttentionOutput,
    /// The input of `post_attention_layernorm`: `[tokens, hidden]`.
    PostAttentionNormInput,
    /// The output of `post_attention_layernorm`: `[tokens, hidden]`.
    PostAttentionNorm,
    /// The output of `gate_proj`, before the activation: `[tokens, intermediate]`.
    Gate,
    /// The input of `down_proj`: `[tokens, intermediate]`.
    Neurons,
}

/// Called with the activations at a site; most passes do nothing there.
pub type Tap<'a> = dyn FnMut(usize, Site, &Tensor<2>) + 'a;

/// What the backward pass needs of a layer's forward pass.
#[derive(Clone, Debug)]
pub struct Saved {
    x: Tensor<2>,
    x_rms: Tensor<2>,
    normed: Tensor<2>,
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    p: Tensor<4>,
    o: Tensor<2>,
    h: Tensor<2>,
    h_rms: Tensor<2>,
    h_normed: Tensor<2>,
    gate: Tensor<2>,
    up: Tensor<2>,
    m: Tensor<2>,
}

impl Saved {
    /// What the layer's first norm made of its input.
    #[must_use]
    pub fn normed(&self) -> &Tensor<2> {
        &self.normed
    }

    /// The keys and values, for the positions to come.
    #[must_use]
    pub fn keys_and_values(self) -> (Tensor<4>, Tensor<4>) {
        (self.k, self.v)
    }
}

/// The keys and values of the positions before, for decoding.
pub type Past = Option<(Tensor<4>, Tensor<4>)>;

/// A layer's forward pass.
///
/// # Shapes
///
/// - x: `[batch * seq, hidden]`
/// - output: `[batch * seq, hidden]`
#[expect(clippy::too_many_arguments, reason = "a layer's surroundings, each named at the call")]
#[must_use]
pub fn forward(
    config: &ModelConfig,
    layer: &LayerParameters,
    index: usize,
    x: Tensor<2>,
    batch: usize,
    rope: &RopeTables,
    documents: Option<&Documents>,
    past: &mut Past,
    tap: &mut Tap<'_>,
) -> (Tensor<2>, Saved) {
    let [tokens, _] = x.dims();
    let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
    tap(index, Site::InputNormInput, &x);
    let (normed, x_rms) = rms_norm(x.clone(), &layer.input_layernorm, config.rms_norm_eps);
    tap(index, Site::InputNorm, &normed);
    let q = rope_split(layer.q_proj.forward(normed.clone()), batch, heads, rope);
    let mut k = rope_split(layer.k_proj.forward(normed.clone()), batch, kv_heads, rope);
    let v = layer.v_proj.forward(normed.clone());
    let mut v = v.reshape([batch, tokens / batch, kv_heads, config.head_dim]).swap_dims(1, 2);
    if let Some((past_k, past_v)) = past.take() {
        k = Tensor::cat(vec![past_k, k], 2);
        v = Tensor::cat(vec![past_v, v], 2);
        *past = Some((k.clone(), v.clone()));
    }
    let (o, p) = attention(q.clone(), k.clone(), v.clone(), documents);
    let o = o.swap_dims(1, 2).reshape([tokens, heads * config.head_dim]);
    tap(index, Site::AttentionOutput, &o);
    let h = x.clone() + layer.o_proj.forward(o.clone());
    tap(index, Site::PostAttentionNormInput, &h);

    let (h_normed, h_rms) =
        rms_norm(h.clone(), &layer.post_attention_layernorm, config.rms_norm_eps);
    tap(index, Site::PostAttentionNorm, &h_normed);
    let gate = layer.gate_proj.forward(h_normed.clone());
    tap(index, Site::Gate, &gate);
    let up = layer.up_proj.forward(h_normed.clone());
    let m = swiglu(gate.clone(), up.clone());
    tap(index, Site::Neurons, &m);
    let y = h.clone() + layer.down_proj.forward(m.clone());
    (y, Saved { x, x_rms, normed, q, k, v, p, o, h, h_rms, h_normed, gate, up, m })
}

/// The gradients of a layer's input and parameters, given that of its output; `entering` is one that something else
/// than the layer has of what its first norm made.
///
/// # Shapes
///
/// - dy, entering: `[batch * seq, hidden]`
/// - output: `[batch * seq, hidden]`, and the layer's own shapes
#[must_use]
pub fn backward(
    layer: &LayerParameters,
    saved: Saved,
    dy: Tensor<2>,
    entering: Option<Tensor<2>>,
    rope: &RopeTables,
) -> (Tensor<2>, LayerParameters) {
    let [batch, heads, seq, head_dim] = saved.q.dims();
    let [_, kv_heads, _, _] = saved.k.dims();
    let tokens = batch * seq;

    let (dm, down_proj) = layer.down_proj.backward(saved.m, dy.clone());
    let (dgate, dup) = swiglu_backward(saved.gate, saved.up, dm);
    let (from_gate, gate_proj) = layer.gate_proj.backward(saved.h_normed.clone(), dgate);
    let (from_up, up_proj) = layer.up_proj.backward(saved.h_normed, dup);
    let (dh, post_attention_layernorm) = rms_norm_backward(
        saved.h,
        saved.h_rms,
        &layer.post_attention_layernorm,
        from_gate + from_up,
    );
    let dh = dh + dy;

    let (d_o, o_proj) = layer.o_proj.backward(saved.o, dh.clone());
    let d_o = d_o.reshape([batch, seq, heads, head_dim]).swap_dims(1, 2);
    let [dq, dk, dv] = attention_backward(saved.q, saved.k, saved.v, saved.p, d_o);
    let dv = dv.swap_dims(1, 2).reshape([tokens, kv_heads * head_dim]);
    let (from_q, q_proj) = layer.q_proj.backward(saved.normed.clone(), rope_join(dq, rope));
    let (from_k, k_proj) = layer.k_proj.backward(saved.normed.clone(), rope_join(dk, rope));
    let (from_v, v_proj) = layer.v_proj.backward(saved.normed, dv);
    let mut d_normed = from_q + from_k + from_v;
    if let Some(entering) = entering {
        d_normed = d_normed + entering;
    }
    let (dx, input_layernorm) =
        rms_norm_backward(saved.x, saved.x_rms, &layer.input_layernorm, d_normed);
    let gradients = LayerParameters {
        input_layernorm,
        q_proj,
        k_proj,
        v_proj,
        o_proj,
        post_attention_layernorm,
        gate_proj,
        up_proj,
        down_proj,
    };
    (dx + dh, gradients)
}
