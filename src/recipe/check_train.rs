//! Whether the values of a table that trains go together.

use super::RecipeError;
use super::check::{ensure, positive};
use super::train::{Pretrain, Train};

/// Wider than any model's streams; what is computed of it stays within 64 bits.
const MAX_WIDTH: usize = 1 << 20;
/// More than any model's layers, heads or channels of a head; likewise.
const MAX_COUNT: usize = 1 << 12;

pub(super) fn check_pretrain(pretrain: &Pretrain) -> Result<(), RecipeError> {
    for (key, size, most) in [
        ("hidden_size", pretrain.hidden_size, MAX_WIDTH),
        ("intermediate_size", pretrain.intermediate_size, MAX_WIDTH),
        ("num_hidden_layers", pretrain.num_hidden_layers, MAX_COUNT),
        ("num_attention_heads", pretrain.num_attention_heads, MAX_COUNT),
        ("num_key_value_heads", pretrain.num_key_value_heads, MAX_COUNT),
        ("head_dim", pretrain.head_dim, MAX_COUNT),
    ] {
        let expected = format!("1 to {most}");
        ensure((1..=most).contains(&size), &format!("pretrain.{key}"), &expected, size)?;
    }
    // The vocabulary is the tokenizer's, and no rule is about it.
    pretrain.shape(1, 1).map_err(|source| RecipeError::PretrainShape { source })?;
    check_train("pretrain", &pretrain.train())
}

pub(super) fn check_train(table: &str, train: &Train) -> Result<(), RecipeError> {
    let key = |name: &str| format!("{table}.{name}");
    let (steps, tokens) = (key("steps"), key("tokens"));
    match (train.steps, train.tokens) {
        (Some(_), Some(_)) => {
            return Err(RecipeError::Both { first: steps, second: tokens });
        }
        (None, None) => {
            return Err(RecipeError::Neither { first: steps, second: tokens });
        }
        (Some(n), None) => ensure(n > 0, &steps, "1 or more", n)?,
        (None, Some(n)) => ensure(n.get() > 0, &tokens, "1 or more", n)?,
    }
    positive(
        table,
        &[
            ("global_batch_size", train.global_batch_size),
            ("micro_batch_size", train.micro_batch_size),
            ("checkpoint_every", train.checkpoint_every),
            ("evaluate_every", train.evaluate_every),
            ("keep_checkpoints", train.keep_checkpoints),
        ],
    )?;
    let divides = train.global_batch_size.is_multiple_of(train.micro_batch_size);
    let expected = format!("a divisor of global_batch_size = {}", train.global_batch_size);
    ensure(divides, &key("micro_batch_size"), &expected, train.micro_batch_size)?;
    for (name, value) in [
        ("learning_rate", train.learning_rate),
        ("epsilon", train.epsilon),
        ("clip_norm", train.clip_norm),
    ] {
        ensure(value > 0.0 && value.is_finite(), &key(name), "a number above 0", value)?;
    }
    let decay = train.weight_decay;
    ensure(decay >= 0.0 && decay.is_finite(), &key("weight_decay"), "a number, 0 or more", decay)?;
    let (min, peak) = (train.min_learning_rate, train.learning_rate);
    let expected = format!("a number between 0 and learning_rate = {peak}");
    ensure((0.0..=peak).contains(&min), &key("min_learning_rate"), &expected, min)?;
    for (name, beta) in [("beta1", train.beta1), ("beta2", train.beta2)] {
        ensure((0.0..1.0).contains(&beta), &key(name), "a number from 0 and below 1", beta)?;
    }
    Ok(())
}
