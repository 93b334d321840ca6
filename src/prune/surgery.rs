//! A model and a plan into a smaller model.
//!
//! Hugging Face's tensors, `E` = kept channels, `H` = kept heads (spread over `head_dim`), `F` = kept neurons, `G` =
//! groups of key-value heads:
//! embedding and head keep columns `E`; norms keep `E`; q keeps rows `H`, columns `E`; k and v keep columns `E`, and
//! of their rows the mean of each group of `G`; o keeps rows `E`, columns `H`; gate and up keep rows `F`, columns `E`;
//! down keeps rows `E`, columns `F`. In memory a linear map is `[in, out]`, so rows and columns change places below.

use kernels::{Device, Int, Tensor};

use super::add_back::HeadAddBack;
use super::fit::PlanError;
use super::plan::{LayerPlan, PrunePlan};
use crate::model::linear::Linear;
use crate::model::parameters::LayerParameters;
use crate::model::{Decoder, ModelConfig, Parameters};

/// Cuts `teacher` to `plan`.
///
/// # Errors
///
/// If the plan does not fit the model.
pub fn cut(teacher: &Decoder, plan: &PrunePlan) -> Result<Decoder, PlanError> {
    plan.check(&teacher.config)?;
    let device = teacher.device();
    let hidden = indices(&plan.hidden, &device);
    let layers = plan.layers.iter().map(|layer| {
        let source = &teacher.parameters.layers[layer.source];
        cut_layer(&teacher.config, source, layer, plan.head_add_back, &hidden)
    });
    let parameters = Parameters {
        embed_tokens: teacher.parameters.embed_tokens.clone().select(1, hidden.clone()),
        layers: layers.collect(),
        norm: norm(&teacher.parameters.norm, &hidden, plan.norm_gain),
        lm_head: teacher.parameters.lm_head.clone().map(|head| head.select(0, hidden.clone())),
    };
    Ok(Decoder { config: plan.student(&teacher.config), parameters })
}

/// One layer, cut; `hidden` are the channels of the residual stream that stay.
fn cut_layer(
    teacher: &ModelConfig,
    source: &LayerParameters,
    layer: &LayerPlan,
    add_back: HeadAddBack,
    hidden: &Tensor<1, Int>,
) -> LayerParameters {
    let device = hidden.device();
    let head_dim = teacher.head_dim;
    let heads = indices(&spread(layer.heads.iter(), head_dim), &device);
    let neurons = indices(&layer.neurons, &device);
    let [input_gain, post_attention_gain] = layer.norm_gains.map_or([None; 2], |g| g.map(Some));
    let keys = |linear: &Linear| match &layer.kv_groups {
        Some(groups) => merge(inputs(linear, hidden), groups, head_dim),
        None => inputs(linear, hidden),
    };
    let queries = inputs(&source.q_proj, hidden);
    LayerParameters {
        input_layernorm: norm(&source.input_layernorm, hidden, input_gain),
        q_proj: queries_of(&queries, layer, add_back, head_dim)
            .unwrap_or_else(|| outputs(queries, &heads)),
        k_proj: keys(&source.k_proj),
        v_proj: keys(&source.v_proj),
        o_proj: outputs(inputs(&source.o_proj, &heads), hidden),
        post_attention_layernorm: norm(
            &source.post_attention_layernorm,
            hidden,
            post_attention_gain,
        ),
        gate_proj: outputs(inputs(&source.gate_proj, hidden), &neurons),
        up_proj: outputs(inputs(&source.up_proj, hidden), &neurons),
        down_proj: outputs(inputs(&source.down_proj, &neurons), hidden),
    }
}

fn indices(of: &[usize], device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i64> = of.iter().map(|i| *i as i64).collect();
    Tensor::from_ints(ids.as_slice(), device)
}

/// The channels of heads.
fn spread<'a>(heads: impl Iterator<Item = &'a usize>, head_dim: usize) -> Vec<usize> {
    heads.flat_map(|h| h * head_dim..(h + 1) * head_dim).collect()
}

/// γ of the channels that stay, multiplied by the plan's gain.
fn norm(gamma: &Tensor<1>, hidden: &Tensor<1, Int>, gain: Option<f64>) -> Tensor<1> {
    let kept = gamma.clone().select(0, hidden.clone());
    match gain {
        Some(gain) => kept.mul_scalar(gain),
        None => kept,
    }
}

/// Keeps these inputs; a bias belongs to the outputs.
fn inputs(linear: &Linear, keep: &Tensor<1, Int>) -> Linear {
    Linear { weight: linear.weight.clone().select(0, keep.clone()), bias: linear.bias.clone() }
}

/// Keeps these outputs.
fn outputs(linear: Linear, keep: &Tensor<1, Int>) -> Linear {
    Linear {
        weight: linear.weight.select(1, keep.clone()),
        bias: linear.bias.map(|bias| bias.select(0, keep.clone())),
    }
}

/// For each group, the mean of its heads' outputs.
///
/// # Shapes
///
/// - linear: `[in, heads * head_dim]`
/// - output: `[in, groups * head_dim]`
fn merge(linear: Linear, groups: &[Vec<usize>], head_dim: usize) -> Linear {
    let mean = |group: &Vec<usize>| {
        let mut heads = group.iter().map(|head| {
            let keep = indices(&spread(std::iter::once(head), head_dim), &linear.weight.device());
            outputs(linear.clone(), &keep)
        });
        let first = heads.next().expect("a plan that fits has no empty group");
        let sum = heads.fold(first, |sum, head| combine(sum, &head, [1.0, 1.0]));
        let share = 1.0 / group.len() as f64;
        Linear {
            weight: sum.weight.mul_scalar(share),
            bias: sum.bias.map(|bias| bias.mul_scalar(share)),
        }
    };
    let means: Vec<Linear> = groups.iter().map(mean).collect();
    let biases: Option<Vec<_>> = means.iter().map(|mean| mean.bias.clone()).collect();
    Linear {
        weight: Tensor::cat(means.into_iter().map(|mean| mean.weight).collect(), 1),
        bias: biases.map(|biases| Tensor::cat(biases, 0)),
    }
}

/// The queries of the heads that stay, with those of removed heads in them; none if the plan adds nothing.
fn queries_of(
    q_proj: &Linear,
    layer: &LayerPlan,
    add_back: HeadAddBack,
    head_dim: usize,
) -> Option<Linear> {
    let factors = match add_back {
        HeadAddBack::Off => return None,
        HeadAddBack::Plus => [2.0, -1.0],
        HeadAddBack::Minus => [0.0, 1.0],
    };
    let device = q_proj.weight.device();
    // A head without a partner is its own: 2 q − q and 0 q + q are q, exactly.
    let partner = |head: &usize| {
        layer.add_back.iter().find(|[stays, _]| stays == head).map_or(*head, |[_, goes]| *goes)
    };
    let partners: Vec<usize> = layer.heads.iter().map(partner).collect();
    let stay = outputs(q_proj.clone(), &indices(&spread(layer.heads.iter(), head_dim), &device));
    let go = outputs(q_proj.clone(), &indices(&spread(partners.iter(), head_dim), &device));
    Some(combine(stay, &go, factors))
}

/// `a · factors[0] + b · factors[1]`.
fn combine(a: Linear, b: &Linear, [of_a, of_b]: [f64; 2]) -> Linear {
    Linear {
        weight: a.weight.mul_scalar(of_a) + b.weight.clone().mul_scalar(of_b),
        bias: match (a.bias, &b.bias) {
            (Some(a), Some(b)) => Some(a.mul_scalar(of_a) + b.clone().mul_scalar(of_b)),
            (a, _) => a,
        },
    }
}
