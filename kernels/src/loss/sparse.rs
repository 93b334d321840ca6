//! A teacher of whom a few words a token are known, as a cache of its outputs has it. What a loss makes of that is in
//! [`coefficients`](super::coefficients).

use super::divergence::Divergence;
use super::objective::{LossSums, Objective};

/// What stands in [`Sparse::ids`] after the last word of a token that has fewer than the others.
pub const NO_WORD: u32 = u32::MAX;
/// The logarithm of a mass that is none: a number, so that it times nothing is nothing.
pub(super) const NONE: f32 = -1e4;

/// What is known of the teacher.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// Words a token.
    pub k: usize,
    /// `[tokens][k]`: each at most once a token, one at least; then [`NO_WORD`].
    pub ids: Vec<u32>,
    /// `[tokens][k]`: ln of their probabilities, or of their weights where they were drawn.
    pub log_probs: Vec<f32>,
    /// `[tokens]`: ln of what all other words have together, −∞ where that is nothing.
    pub rest: Vec<f32>,
    /// The temperature of all of them, and of every divergence.
    pub temperature: f64,
    /// What is done about the other words.
    pub treatment: Rest,
}

/// What is done about the words of which the teacher is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    /// They are one cell: the student is to give them together what the teacher does. A lower bound of the dense loss.
    #[default]
    Ghost,
    /// They have nothing: the known words' masses are scaled to one. Biased towards them.
    Renormalise,
    /// They are not looked at: both are scaled to one over the known words. No gradient leaves these.
    Subset,
    /// Words were drawn and weighed so that the weights are the probabilities in expectation; forward KL alone, whose
    /// gradient then is the dense one in expectation, and whose value is so up to the teacher's own part.
    Sampled,
}

/// What is known of the teacher does not go with the student or the losses.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SparseError {
    /// A loss cannot be had of it.
    #[error("{loss} cannot be had of a teacher of whom {known}: {reason}")]
    Loss {
        /// The loss.
        loss: &'static str,
        /// What is known.
        known: &'static str,
        /// Why not.
        reason: String,
    },
    /// A word that the student does not have.
    #[error("token {token} names word {id}, expected one of {vocab}")]
    Word {
        /// Which token.
        token: usize,
        /// Which word.
        id: u32,
        /// The student's words.
        vocab: usize,
    },
    /// A token of which nothing is known.
    #[error("token {token} has no words")]
    Empty {
        /// Which.
        token: usize,
    },
    /// A list of another length than the others ask for.
    #[error("{tokens} tokens of {k} words have {expected} {what}, found {found}")]
    Length {
        /// Tokens.
        tokens: usize,
        /// Words a token.
        k: usize,
        /// Of what.
        what: &'static str,
        /// How many there would be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}

impl Rest {
    fn known(self) -> &'static str {
        match self {
            Self::Ghost => "the most probable words and the mass of the rest are known",
            Self::Renormalise => "the most probable words are known, taken for all there are",
            Self::Subset => "the most probable words are known, and no others looked at",
            Self::Sampled => "words were drawn",
        }
    }
}

impl Sparse {
    /// Whether it is whole, of words that the student has, and every loss of the objective can be had of it.
    ///
    /// # Errors
    ///
    /// The first thing that is not so.
    pub fn check(&self, vocab: usize, objective: &Objective) -> Result<(), SparseError> {
        let (tokens, k) = (self.tokens(), self.k);
        for (what, found) in [("ids", self.ids.len()), ("log-probabilities", self.log_probs.len())]
        {
            let expected = tokens * k;
            if found != expected {
                return Err(SparseError::Length { tokens, k, what, expected, found });
            }
        }
        for token in 0..tokens {
            let is_unknown = |id: &&u32| **id as usize >= vocab;
            if self.words(token).0.is_empty() {
                return Err(SparseError::Empty { token });
            }
            if let Some(id) = self.words(token).0.iter().find(is_unknown) {
                return Err(SparseError::Word { token, id: *id, vocab });
            }
        }
        for term in objective.divergences.iter().filter(|term| term.weight > 0.0) {
            let refuse = |reason: String| SparseError::Loss {
                loss: term.divergence.name(),
                known: self.treatment.known(),
                reason,
            };
            let (asked, known) = (term.temperature, self.temperature);
            if (asked - known).abs() > 1e-9 {
                return Err(refuse(format!(
                    "its temperature is {asked}, that of the known words {known}"
                )));
            }
            let is_forward = term.divergence == Divergence::ForwardKl;
            if self.treatment == Rest::Sampled && !is_forward {
                return Err(refuse("it is not linear in the teacher's probabilities".into()));
            }
            let is_unbounded = match term.divergence {
                Divergence::ReverseKl | Divergence::AdaptiveKl { .. } => true,
                Divergence::SkewReverseKl { alpha } => alpha <= 0.0,
                _ => false,
            };
            if self.treatment == Rest::Renormalise && is_unbounded {
                return Err(refuse("it is infinite where the teacher has no mass".into()));
            }
        }
        Ok(())
    }

    /// Tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.rest.len()
    }

    /// What is reported of a token beside the divergences: `best` is the student's first choice, `cross_entropy` its loss.
    pub(super) fn seen(
        &self,
        token: usize,
        label: usize,
        best: Option<usize>,
        cross_entropy: f32,
    ) -> LossSums {
        let (ids, known) = self.words(token);
        let first = known.iter().zip(ids).max_by(|(a, i), (b, j)| a.total_cmp(b).then(j.cmp(i)));
        let said = ids.iter().position(|id| *id as usize == label).map(|i| known[i]);
        LossSums {
            tokens: 1,
            cross_entropy: f64::from(cross_entropy),
            agreed: u64::from(first.is_some_and(|(_, id)| Some(*id as usize) == best)),
            // Of a word that is not known, no less than that of all of those; at another temperature, not known.
            teacher_cross_entropy: if (self.temperature - 1.0).abs() < f64::EPSILON {
                -f64::from(said.unwrap_or(self.rest[token]).max(NONE))
            } else {
                0.0
            },
            ..LossSums::default()
        }
    }

    /// The words of a token: ids and logarithms.
    pub(super) fn words(&self, token: usize) -> (&[u32], &[f32]) {
        let places = token * self.k..(token + 1) * self.k;
        let ids = &self.ids[places.clone()];
        let count = ids.iter().position(|id| *id == NO_WORD).unwrap_or(self.k);
        (&ids[..count], &self.log_probs[places][..count])
    }
}
