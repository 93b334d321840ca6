//! Bytes on disk when the run is done, and at most while it runs.

use super::Bytes;
use crate::model::config::ModelConfig;
use crate::recipe::{ExportDtype, Pretrain, Recipe, Train};
use crate::units::thousands;

/// Ids up to this many fit in two bytes.
const TWO_BYTES: usize = 1 << 16;
/// Master weight and two moments, f32 each.
const CHECKPOINT_BYTES: u64 = 12;

pub(super) fn of(recipe: &Recipe, teacher: &ModelConfig, student: &ModelConfig) -> Vec<Bytes> {
    let mut kinds = Vec::new();
    let seq_tokens = recipe.tokens.seq_tokens;
    let pretrain = recipe.pretrain.as_ref().map(Pretrain::train);
    let correct = recipe.correction_before();
    let read = |train: &Train| {
        train.steps_for(seq_tokens).saturating_mul(train.tokens_per_step(seq_tokens))
    };
    // The stages read the same shards; the longest of them reads the most.
    if let Some(tokens) = recipe.distil.iter().chain(&pretrain).chain(&correct).map(read).max() {
        let each = if teacher.vocab_size <= TWO_BYTES { 2 } else { 4 };
        kinds.push(Bytes {
            what: "token shards",
            bytes: tokens.saturating_mul(each),
            formula: format!(
                "at most: {} tokens of {each} bytes, if each is read once",
                thousands(tokens)
            ),
        });
    }
    let mut checkpoints = |what, train: &Train, parameters: u64| {
        let one = CHECKPOINT_BYTES.saturating_mul(parameters);
        let kept = train.keep_checkpoints;
        kinds.push(Bytes {
            what,
            bytes: one.saturating_mul(kept.saturating_add(1)),
            formula: format!(
                "{kept} kept and one being written, each {}: {CHECKPOINT_BYTES} bytes a parameter",
                crate::units::bytes(one)
            ),
        });
    };
    if let Some(train) = &pretrain {
        checkpoints("checkpoints of pretrain", train, teacher.num_parameters());
    }
    if let Some(train) = &correct {
        checkpoints("checkpoints of correct", train, teacher.num_parameters());
    }
    if let Some(train) = &recipe.distil {
        let beside = recipe.correction_beside().map_or(0, |_| teacher.num_parameters());
        checkpoints("checkpoints of distil", train, student.num_parameters() + beside);
        if recipe.control.is_some() {
            checkpoints("checkpoints of control", train, student.num_parameters());
        }
    }
    let (each, dtype) = match recipe.export.dtype {
        ExportDtype::F32 => (4, "f32"),
        ExportDtype::Bf16 => (2, "bf16"),
        ExportDtype::F16 => (2, "f16"),
        // A teacher trained here has f32 weights; those of others are nearly always bf16.
        ExportDtype::Teacher if recipe.pretrain.is_some() => (4, "the teacher's dtype, f32"),
        ExportDtype::Teacher => (2, "the teacher's dtype, taken to be bf16"),
    };
    let mut model = |what, parameters: u64| {
        kinds.push(Bytes {
            what,
            bytes: each * parameters,
            formula: format!("{dtype}, {each} bytes a parameter"),
        });
    };
    if recipe.makes_teacher() {
        model("models/teacher", teacher.num_parameters());
    }
    if recipe.prune.is_some() || recipe.distil.is_some() {
        model("models/student", student.num_parameters());
    }
    if recipe.control.is_some() {
        model("models/control", student.num_parameters());
    }
    kinds
}
