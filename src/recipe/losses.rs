//! `[losses.<name>]`: what distillation minimises.
//!
//! Any number of losses, each with a weight. Forward KL is one of them unless its weight is set to nought; any other is
//! one if its table is there.

use kernels::loss::{Divergence, Objective, Term};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::check::ensure;
use super::hidden::Hidden;

/// Weight of a loss whose table is there: the papers' forward KL has it.
pub const DEFAULT_WEIGHT: f64 = 1.0;
/// Temperature: the papers'.
pub const DEFAULT_TEMPERATURE: f64 = 1.0;
/// Weight of the cross-entropy with the text: none, as in the papers.
pub const DEFAULT_CROSS_ENTROPY_WEIGHT: f64 = 0.0;
/// β of the Jensen-Shannon divergence: the symmetric one.
pub const DEFAULT_BETA: f64 = 0.5;
/// α of the skewed divergences: DistiLLM's.
pub const DEFAULT_ALPHA: f64 = 0.1;
/// The teacher's mass that is the head of the adaptive divergence: its paper's.
pub const DEFAULT_HEAD_MASS: f64 = 0.5;

/// The losses, each with its weight; a weight of nought leaves one out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Losses {
    /// KL(teacher ‖ student) over the whole vocabulary.
    pub forward_kl: ForwardKl,
    /// Cross-entropy with the next token of the text.
    pub cross_entropy: CrossEntropy,
    /// KL(student ‖ teacher).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse_kl: Option<ReverseKl>,
    /// Both, to their mixture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jensen_shannon: Option<JensenShannon>,
    /// KL(teacher ‖ a mixture with the student).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_forward_kl: Option<SkewForwardKl>,
    /// KL(student ‖ a mixture with the teacher).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_reverse_kl: Option<SkewReverseKl>,
    /// Half the sum of the absolute differences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_variation: Option<TotalVariation>,
    /// Forward and reverse KL, by where the student is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_kl: Option<AdaptiveKl>,
    /// The mean square of the differences of the logits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_mse: Option<LogitMse>,
    /// The distance of hidden states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}

/// Whether a weight follows the divergences: see [`crate::distill::balance`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// It is what it is.
    #[default]
    Static,
    /// It is multiplied by the divergences' part of the loss over the loss that it weighs, of the step before.
    Dynamic,
}

/// Cross-entropy with the next token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropy {
    /// Its share of the sum.
    pub weight: f64,
    /// Whether its weight follows the divergences.
    pub balance: Balance,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self { weight: DEFAULT_CROSS_ENTROPY_WEIGHT, balance: Balance::Static }
    }
}

/// A table of a divergence: the keys that all have, and its own.
///
/// As for the tables that train, serde's `flatten` would lose the refusal of unknown keys.
macro_rules! divergence_table {
    (
        $(#[$doc:meta])* $table:ident as $is:expr,
        { $( $(#[$key_doc:meta])* $key:ident = $default:expr ),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $table {
            /// Its share of the sum.
            pub weight: f64,
            /// Both logits are divided by this.
            pub temperature: f64,
            /// Whether it is multiplied by the temperature's square, which keeps the scale of its gradient.
            pub temperature_squared: bool,
            $( $(#[$key_doc])* pub $key: f64, )*
        }

        impl Default for $table {
            fn default() -> Self {
                Self {
                    weight: DEFAULT_WEIGHT,
                    temperature: DEFAULT_TEMPERATURE,
                    temperature_squared: true,
                    $( $key: $default, )*
                }
            }
        }

        impl $table {
            /// As a term of the objective.
            #[must_use]
            pub fn term(&self) -> Term {
                let divergence: fn(&Self) -> Divergence = $is;
                Term {
                    divergence: divergence(self),
                    weight: self.weight,
                    temperature: self.temperature,
                    times_squared: self.temperature_squared,
                }
            }
        }
    };
}

divergence_table! { /** KL(teacher ‖ student). */ ForwardKl as |_| Divergence::ForwardKl, {} }
divergence_table! { /** KL(student ‖ teacher). */ ReverseKl as |_| Divergence::ReverseKl, {} }
divergence_table! { /** Half the sum of `|p − q|`. */ TotalVariation as |_| Divergence::TotalVariation, {} }
divergence_table! { /** The mean square of the centred logits' differences. */ LogitMse as |_| Divergence::LogitMse, {} }
divergence_table! {
    /// `β KL(teacher ‖ m) + (1 − β) KL(student ‖ m)`, `m` being `β` teacher and `1 − β` student.
    JensenShannon as |table| Divergence::JensenShannon { beta: table.beta },
    {
        /// The teacher's share of the mixture.
        beta = DEFAULT_BETA,
    }
}
divergence_table! {
    /// KL(teacher ‖ `α` teacher and `1 − α` student).
    SkewForwardKl as |table| Divergence::SkewForwardKl { alpha: table.alpha },
    {
        /// The teacher's share of the mixture.
        alpha = DEFAULT_ALPHA,
    }
}
divergence_table! {
    /// KL(student ‖ `α` student and `1 − α` teacher).
    SkewReverseKl as |table| Divergence::SkewReverseKl { alpha: table.alpha },
    {
        /// The student's share of the mixture.
        alpha = DEFAULT_ALPHA,
    }
}
divergence_table! {
    /// Forward KL by the share of the differences that lies in the teacher's head, reverse KL by the rest.
    AdaptiveKl as |table| Divergence::AdaptiveKl { head: table.head_mass },
    {
        /// The head is the fewest words with this much of the teacher's mass.
        head_mass = DEFAULT_HEAD_MASS,
    }
}

impl Losses {
    /// All divergences that the recipe has a table of, those without a weight as well.
    fn terms(&self) -> Vec<Term> {
        let named = [
            Some(self.forward_kl.term()),
            self.reverse_kl.as_ref().map(ReverseKl::term),
            self.jensen_shannon.as_ref().map(JensenShannon::term),
            self.skew_forward_kl.as_ref().map(SkewForwardKl::term),
            self.skew_reverse_kl.as_ref().map(SkewReverseKl::term),
            self.total_variation.as_ref().map(TotalVariation::term),
            self.adaptive_kl.as_ref().map(AdaptiveKl::term),
            self.logit_mse.as_ref().map(LogitMse::term),
        ];
        named.into_iter().flatten().collect()
    }

    /// What distillation minimises. Forward KL is in it whatever its weight: it is reported.
    #[must_use]
    pub fn objective(&self) -> Objective {
        Objective { divergences: self.terms(), cross_entropy: self.cross_entropy.weight }
    }

    /// Whether the values mean something.
    ///
    /// # Errors
    ///
    /// The first that does not.
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        let (terms, ce) = (self.terms(), self.cross_entropy.weight);
        let hidden = self.hidden.as_ref().map(|hidden| ("hidden", hidden.weight));
        let weights = terms.iter().map(|term| (term.divergence.name(), term.weight));
        for (name, weight) in weights.chain([("cross_entropy", ce)]).chain(hidden) {
            let holds = weight >= 0.0 && weight.is_finite();
            ensure(holds, &format!("losses.{name}.weight"), "a number, 0 or more", weight)?;
        }
        for term in &terms {
            let key = |key: &str| format!("losses.{}.{key}", term.divergence.name());
            let tau = term.temperature;
            let holds = tau > 0.0 && tau.is_finite();
            ensure(holds, &key("temperature"), "a number above 0", tau)?;
            match term.divergence {
                Divergence::JensenShannon { beta } => {
                    let holds = beta > 0.0 && beta < 1.0;
                    ensure(holds, &key("beta"), "a number between 0 and 1", beta)?;
                }
                Divergence::SkewForwardKl { alpha } | Divergence::SkewReverseKl { alpha } => {
                    let holds = (0.0..1.0).contains(&alpha);
                    ensure(holds, &key("alpha"), "a number from 0 and below 1", alpha)?;
                }
                Divergence::AdaptiveKl { head } => {
                    let holds = head > 0.0 && head < 1.0;
                    ensure(holds, &key("head_mass"), "a number between 0 and 1", head)?;
                }
                _ => {}
            }
        }
        let divergences = terms.iter().map(|term| term.weight).sum::<f64>();
        let followers = [
            ("cross_entropy", Some(self.cross_entropy.balance)),
            ("hidden", self.hidden.as_ref().map(|hidden| hidden.balance)),
        ];
        for (name, _) in followers.iter().filter(|(_, b)| *b == Some(Balance::Dynamic)) {
            let expected = "static where no divergence has a weight that it could follow";
            ensure(divergences > 0.0, &format!("losses.{name}.balance"), expected, "dynamic")?;
        }
        if let Some(hidden) = &self.hidden {
            let holds = !hidden.layers.is_empty();
            ensure(holds, "losses.hidden.layers", "one pair of layers at least", "none")?;
        }
        let sum = divergences + ce + hidden.map_or(0.0, |(_, weight)| weight);
        ensure(sum > 0.0, "losses", "one weight above 0 at least", "none")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recipe;
    use super::*;

    #[test]
    fn without_a_word_the_loss_is_the_papers() {
        assert_eq!(Recipe::default().losses.objective(), Objective::forward_kl());
    }

    #[test]
    fn every_divergence_has_a_table_of_its_name_and_comes_back_from_the_file() {
        let mut text = String::from("[losses.cross_entropy]\nweight = 0.5\n");
        for name in Divergence::NAMES {
            text.push_str(&format!("[losses.{name}]\nweight = 0.25\ntemperature = 2\n"));
        }
        // Of the last.
        text.push_str("temperature_squared = false\n");
        let recipe = Recipe::resolve(&text, &["losses.jensen_shannon.beta=0.1".into()]).unwrap();
        let objective = recipe.losses.objective();
        let found: Vec<_> = objective.divergences.iter().map(|t| t.divergence.name()).collect();
        assert_eq!(found, Divergence::NAMES);
        assert_eq!(objective.divergences[2].divergence, Divergence::JensenShannon { beta: 0.1 });
        assert!(objective.divergences.iter().all(|t| (t.factor() - 1.0).abs() < 1e-12
            || t.divergence == Divergence::LogitMse && (t.factor() - 0.25).abs() < 1e-12));
        assert_eq!(Recipe::resolve(&recipe.to_toml(), &[]).unwrap(), recipe);
    }
}
