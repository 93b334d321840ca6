//! Random parameters: a function of the seed and of the tensor's name, the same on every device.

use datasets::random;
use kernels::host::give;
use kernels::{Device, Tensor};

use crate::model::{Decoder, ModelConfig, Parameters, Weight};

/// Normal with standard deviation 0.02, and 0.02 / √(2 · layers) for the two maps that write to the residual
/// stream (Radford et al. 2019, GPT-2, section 2.3); norms are one, biases zero.
#[must_use]
pub fn initialise(config: &ModelConfig, seed: u64, device: &Device) -> Decoder {
    const STD: f64 = 0.02;
    let depth = (2.0 * config.num_hidden_layers as f64).sqrt();
    let mut fill = |name: &str, weight: Weight| {
        let residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
        let std = if residual { STD / depth } else { STD };
        let ones = name.ends_with("norm.weight");
        let normal = |dims: [usize; 2]| -> Tensor<2> {
            let mut rng = random::stream(seed, name, 0, 0);
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            let mut draw = || (random::normal(&mut rng) * std) as f32;
            let values = (0..dims[0] * dims[1]).map(|_| draw());
            give(values.collect(), dims, device)
        };
        Ok::<_, std::convert::Infallible>(
            weight.apply(|t| if ones { t.ones_like() } else { t }, |t| normal(t.dims())),
        )
    };
    let Ok(parameters) = Parameters::zeros(config, device).map(&mut fill);
    Decoder { config: config.clone(), parameters }
}
