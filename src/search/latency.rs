//! Milliseconds of a shape on this device, from a table of measured blocks.
//!
//! A block is a decoder layer of some sizes. Of each, a model of one layer and one of three are timed, with random
//! weights; half of what the second takes more is a layer, and the rest of the first is embedding, final norm and head.
//! A shape takes `num_hidden_layers` of its block and the rest. Blocks are far fewer than shapes.

use std::time::Instant;

use kernels::host::take;
use kernels::{DType, Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::model::{Decoder, ModelConfig};
use crate::weights::initialise;

/// Times that a model is timed: the least counts, what else the machine does makes it only longer.
const REPEATS: usize = 5;

/// What was measured of one block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Neurons.
    pub intermediate_size: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// A layer's, of a prompt and of the token after it.
    pub layer_ms: [f64; 2],
    /// Of all that is not in layers.
    pub rest_ms: [f64; 2],
}

/// All blocks that were measured on a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Tokens of the prompt.
    pub prefill_tokens: u64,
    /// One for each shape of a layer.
    pub blocks: Vec<Block>,
}

impl Latencies {
    /// Milliseconds of a prompt and of the token after it; none if its block was not measured.
    #[must_use]
    pub fn of(&self, config: &ModelConfig) -> Option<[f64; 2]> {
        let block = self.blocks.iter().find(|block| block.is_of(config))?;
        #[expect(clippy::cast_precision_loss, reason = "layers are few")]
        let layers = config.num_hidden_layers as f64;
        Some([0, 1].map(|i| layers * block.layer_ms[i] + block.rest_ms[i]))
    }

    /// Measures the blocks of these shapes, each once; `each` is told how many are done, of how many.
    #[must_use]
    pub fn measure(
        shapes: &[ModelConfig],
        prefill_tokens: u64,
        device: &Device,
        working: DType,
        mut each: impl FnMut(usize, usize),
    ) -> Self {
        let mut distinct: Vec<&ModelConfig> = Vec::new();
        for config in shapes {
            if !distinct.iter().any(|other| sizes(other) == sizes(config)) {
                distinct.push(config);
            }
        }
        let mut blocks = Vec::new();
        for (done, config) in distinct.iter().enumerate() {
            each(done, distinct.len());
            let [one, three] = [1, 3].map(|layers| {
                let config = ModelConfig { num_hidden_layers: layers, ..(*config).clone() };
                let model = initialise(&config, 1, device);
                let parameters = model.parameters.cast(working);
                timed(&Decoder { config, parameters }, prefill_tokens)
            });
            let layer_ms = [0, 1].map(|i| ((three[i] - one[i]) / 2.0).max(0.0));
            let [hidden_size, intermediate_size, num_attention_heads, num_key_value_heads] =
                sizes(config);
            blocks.push(Block {
                hidden_size,
                intermediate_size,
                num_attention_heads,
                num_key_value_heads,
                layer_ms,
                rest_ms: [0, 1].map(|i| (one[i] - layer_ms[i]).max(0.0)),
            });
        }
        Self { prefill_tokens, blocks }
    }
}

impl Block {
    fn is_of(&self, config: &ModelConfig) -> bool {
        let own = [
            self.hidden_size,
            self.intermediate_size,
            self.num_attention_heads,
            self.num_key_value_heads,
        ];
        own == sizes(config)
    }
}

fn sizes(config: &ModelConfig) -> [usize; 4] {
    [
        config.hidden_size,
        config.intermediate_size,
        config.num_attention_heads,
        config.num_key_value_heads,
    ]
}

/// Milliseconds of a prompt and of the token after it, the least of some.
fn timed(model: &Decoder, prefill_tokens: u64) -> [f64; 2] {
    let device = model.device();
    let vocab = i64::try_from(model.config.vocab_size).unwrap_or(i64::MAX).max(1);
    let tokens = i64::try_from(prefill_tokens).unwrap_or(i64::MAX);
    let prompt: Vec<i64> = (0..tokens).map(|i| i % vocab).collect();
    let mut least = [f64::INFINITY; 2];
    for _ in 0..REPEATS {
        let mut past = vec![None; model.config.num_hidden_layers];
        for (least, ids) in least.iter_mut().zip([&prompt[..], &[0]]) {
            let ids = Tensor::<1, Int>::from_ints(ids, &device).unsqueeze_dim(0);
            let begun = Instant::now();
            let hidden = model.hidden_after(&ids, &mut past);
            let [positions, _] = hidden.dims();
            // Brought to the host, so that a device that runs behind has done it.
            let _ = take(hidden.narrow(0, positions - 1, 1).matmul(model.head()));
            *least = least.min(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn a_shape_is_its_layers_and_the_rest_and_blocks_are_measured_once() {
        let text = "[pretrain]\nsteps = 1\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 2";
        let config = Recipe::resolve(text, &[]).unwrap().teacher_shape(64).unwrap();
        let deep = ModelConfig { num_hidden_layers: 6, ..config.clone() };
        let wide = ModelConfig { intermediate_size: 128, ..config.clone() };
        let device = Device::flex();
        let mut seen = Vec::new();
        let shapes = [config.clone(), deep.clone(), wide.clone()];
        let table =
            Latencies::measure(&shapes, 16, &device, DType::F32, |done, of| seen.push((done, of)));
        assert_eq!(seen, [(0, 2), (1, 2)]);
        let [a, b] = [&config, &deep].map(|config| table.of(config).unwrap());
        for i in [0, 1] {
            let block = &table.blocks[0];
            assert!((b[i] - a[i] - 4.0 * block.layer_ms[i]).abs() < 1e-9);
            assert!(a[i] > 0.0);
        }
        let other = ModelConfig { hidden_size: 16, ..config };
        assert_eq!(table.of(&other), None);
    }
}
