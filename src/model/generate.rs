//! Greedy and sampled continuation of a prompt, with cached keys and values.

use kernels::host::take;
use kernels::{Int, Tensor};

use super::decoder::Decoder;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token; otherwise logits are divided by this before the draw.
    pub temperature: f64,
    /// Of the draws.
    pub seed: u64,
}

/// Continues `prompt` by up to `max_new_tokens` tokens; stops after `end`, or when the context is full.
/// `each` sees every new token at once.
pub fn generate(
    decoder: &Decoder,
    prompt: &[u32],
    max_new_tokens: usize,
    end: Option<u32>,
    sampling: Sampling,
    each: &mut dyn FnMut(u32),
) {
    let device = decoder.device();
    let mut past = vec![None; decoder.config.num_hidden_layers];
    let mut next: Vec<i64> = prompt.iter().map(|id| i64::from(*id)).collect();
    let room = decoder.config.max_position_embeddings.saturating_sub(prompt.len());
    for index in 0..max_new_tokens.min(room) {
        let ids = Tensor::<1, Int>::from_ints(next.as_slice(), &device).unsqueeze_dim(0);
        let hidden = decoder.hidden_after(&ids, &mut past);
        let [tokens, _] = hidden.dims();
        let logits = take(hidden.narrow(0, tokens - 1, 1).matmul(decoder.head()));
        let id = choose(&logits, sampling, index as u64);
        each(id);
        if Some(id) == end {
            break;
        }
        next = vec![i64::from(id)];
    }
}

/// The token whose share of the cumulated probability the draw falls in.
#[expect(clippy::cast_possible_truncation, reason = "a vocabulary's ids are u32")]
fn choose(logits: &[f32], sampling: Sampling, index: u64) -> u32 {
    let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0);
    if sampling.temperature <= 0.0 {
        return best as u32;
    }
    let max = f64::from(logits[best]);
    let weights = logits.iter().map(|z| ((f64::from(*z) - max) / sampling.temperature).exp());
    let weights: Vec<f64> = weights.collect();
    let mut left = datasets::random::uniform(&mut datasets::random::stream(
        sampling.seed,
        "generate",
        0,
        index,
    )) * weights.iter().sum::<f64>();
    for (id, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return id as u32;
        }
    }
    best as u32
}
