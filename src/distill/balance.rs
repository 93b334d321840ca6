//! Weights that follow the divergences.
//!
//! P1 weighs the loss on hidden states by `α = L_logits / L_is`, and NVIDIA's trainer brings the cross-entropy and the
//! divergences to one size in the same manner (`reference/minitron.md`, 1.7). They take the ratio of the micro-batch at
//! hand; here it is that of the step before, so that it does not depend on how a step is cut into micro-batches, and goes
//! into the checkpoint. At the first step nothing is known: a loss that is balanced is measured there, and not minimised.

use kernels::loss::{HIDDEN, LossSums, Objective};

use super::trainer::Settings;

/// What the weights of the cross-entropy and of the hidden states are multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// Of the cross-entropy.
    pub cross_entropy: f64,
    /// Of the hidden states.
    pub hidden: f64,
}

impl Balance {
    /// Of the first step.
    #[must_use]
    pub fn begin(settings: &Settings) -> Self {
        let of = |is_dynamic: bool| if is_dynamic { 0.0 } else { 1.0 };
        let hidden = settings.hidden.as_ref().is_some_and(|hidden| hidden.is_dynamic);
        Self { cross_entropy: of(settings.cross_entropy_is_dynamic), hidden: of(hidden) }
    }

    /// Whether any moves.
    #[must_use]
    pub fn moves(settings: &Settings) -> bool {
        settings.cross_entropy_is_dynamic
            || settings.hidden.as_ref().is_some_and(|hidden| hidden.is_dynamic)
    }

    /// Of the step after one with these sums.
    #[must_use]
    pub fn after(settings: &Settings, sums: &LossSums) -> Self {
        let alone = Objective { cross_entropy: 0.0, ..settings.objective.clone() };
        let logits = alone.mean(sums) * sums.tokens as f64;
        let ratio = |to: f64| {
            // As the checkpoint holds it.
            #[expect(clippy::cast_possible_truncation, reason = "a checkpoint is f32")]
            let ratio = (logits / to) as f32;
            if ratio.is_finite() { f64::from(ratio) } else { 0.0 }
        };
        let hidden = settings.hidden.as_ref().is_some_and(|hidden| hidden.is_dynamic);
        Self {
            cross_entropy: if settings.cross_entropy_is_dynamic {
                ratio(sums.cross_entropy)
            } else {
                1.0
            },
            hidden: if hidden { ratio(sums.others[HIDDEN]) } else { 1.0 },
        }
    }
}
