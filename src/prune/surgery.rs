//! A model and a plan into a smaller model.
//!
//! Hugging Face's tensors, `E` = kept channels, `H` = kept heads (spread over `head_dim`), `F` = kept neurons:
//! embedding and head keep columns `E`; norms keep `E`; q keeps rows `H`, columns `E`; k and v keep columns `E`;
//! o keeps rows `E`, columns `H`; gate and up keep rows `F`, columns `E`; down keeps rows `E`, columns `F`. In
//! memory a linear map is `[in, out]`, so rows and columns change places below.

use kernels::{Device, Int, Tensor};

use super::plan::{PlanError, PrunePlan};
use crate::model::linear::Linear;
use crate::model::parameters::LayerParameters;
use crate::model::{Decoder, Parameters};

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
        let head_dim = teacher.config.head_dim;
        let spread = layer.heads.iter().flat_map(|h| h * head_dim..(h + 1) * head_dim);
        let heads = indices(&spread.collect::<Vec<_>>(), &device);
        let neurons = indices(&layer.neurons, &device);
        LayerParameters {
            input_layernorm: source.input_layernorm.clone().select(0, hidden.clone()),
            q_proj: outputs(inputs(&source.q_proj, &hidden), &heads),
            k_proj: inputs(&source.k_proj, &hidden),
            v_proj: inputs(&source.v_proj, &hidden),
            o_proj: outputs(inputs(&source.o_proj, &heads), &hidden),
            post_attention_layernorm: source
                .post_attention_layernorm
                .clone()
                .select(0, hidden.clone()),
            gate_proj: outputs(inputs(&source.gate_proj, &hidden), &neurons),
            up_proj: outputs(inputs(&source.up_proj, &hidden), &neurons),
            down_proj: outputs(inputs(&source.down_proj, &neurons), &hidden),
        }
    });
    let parameters = Parameters {
        embed_tokens: teacher.parameters.embed_tokens.clone().select(1, hidden.clone()),
        layers: layers.collect(),
        norm: teacher.parameters.norm.clone().select(0, hidden.clone()),
        lm_head: teacher.parameters.lm_head.clone().map(|head| head.select(0, hidden.clone())),
    };
    Ok(Decoder { config: plan.student(&teacher.config), parameters })
}

fn indices(of: &[usize], device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i64> = of.iter().map(|i| *i as i64).collect();
    Tensor::from_ints(ids.as_slice(), device)
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
