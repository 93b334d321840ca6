//! Bytes on each device while distilling.
//!
//! Each device holds both models whole (data parallelism), and no `[tokens, vocab]` tensor but the one of a
//! chunk. Activations are of one micro-batch, counted in numbers a token:
//!
//! ```text
//! of a layer, kept for the backward pass    4 hidden + (3 heads + 3 kv_heads) head_dim + 3 intermediate
//!     its input, the sum after attention, both norms' outputs; q, k before and after the rotation, v, the
//!     attention's output; gate, up and their product. Attention scores are never kept.
//! recompute = "none"     num_hidden_layers of these
//! recompute = "block"    num_hidden_layers inputs, hidden each, and one layer of these
//! ```

use super::{Assumptions, Bytes, Working};
use crate::model::Recompute;
use crate::model::config::ModelConfig;
use crate::recipe::Recipe;

/// One copy of a chunk's logits, in f32.
const CHUNK_BYTES: u64 = 32 << 20;
/// Logits and probabilities, of teacher and student.
const CHUNK_COPIES: u64 = 4;

/// What a layer keeps of one token for its backward pass, in numbers.
pub(super) fn kept_per_layer(config: &ModelConfig) -> u64 {
    let heads = 3 * config.num_attention_heads + 3 * config.num_key_value_heads;
    (4 * config.hidden_size + heads * config.head_dim + 3 * config.intermediate_size) as u64
}

/// What all layers keep of one token.
pub(super) fn kept(config: &ModelConfig, recompute: Recompute) -> u64 {
    let layers = config.num_hidden_layers as u64;
    match recompute {
        Recompute::None => layers * kept_per_layer(config),
        Recompute::Block => layers * config.hidden_size as u64 + kept_per_layer(config),
    }
}

pub(super) fn of(
    recipe: &Recipe,
    teacher: &ModelConfig,
    student: &ModelConfig,
    device: &Assumptions,
) -> Vec<Bytes> {
    let Some(distil) = &recipe.distil else {
        return Vec::new();
    };
    let n = student.num_parameters();
    let (size, name) = (device.working.bytes(), device.working.name());
    let tokens = distil.micro_batch_size.saturating_mul(recipe.tokens.seq_tokens);
    let activations = kept(student, distil.recompute).saturating_mul(tokens).saturating_mul(size);
    let other = match distil.recompute {
        Recompute::Block => Recompute::None,
        Recompute::None => Recompute::Block,
    };
    let instead = kept(student, other).saturating_mul(tokens).saturating_mul(size);
    let bytes = |what, bytes, formula: String| Bytes { what, bytes, formula };
    let mut kinds = Vec::new();
    if device.working == Working::Bf16 {
        kinds.push(bytes("working weights", size * n, format!("{name}, {size} bytes a parameter")));
    }
    kinds.extend([
        bytes("master weights", 4 * n, "f32, 4 bytes a parameter".into()),
        bytes("moments", 8 * n, "two f32 a parameter".into()),
        bytes("gradients", 4 * n, "f32, 4 bytes a parameter".into()),
        bytes(
            "teacher weights",
            size * teacher.num_parameters(),
            format!("{name}, {size} bytes a parameter"),
        ),
        bytes(
            "teacher's correction",
            recipe.correction_beside().map_or(0, |_| 16 * teacher.num_parameters()),
            "if it is corrected while it teaches: weights, moments, gradients, 16 bytes a parameter".into(),
        ),
        bytes(
            "activations",
            activations,
            format!(
                "{} × {} tokens, recompute = \"{}\"; {} with \"{}\"",
                distil.micro_batch_size,
                crate::units::thousands(recipe.tokens.seq_tokens),
                distil.recompute.name(),
                crate::units::bytes(instead),
                other.name(),
            ),
        ),
        bytes(
            "logits of a chunk",
            CHUNK_COPIES * CHUNK_BYTES,
            format!("{CHUNK_COPIES} f32 copies of {} MiB", CHUNK_BYTES >> 20),
        ),
    ]);
    kinds.retain(|kind| kind.bytes > 0);
    kinds
}
