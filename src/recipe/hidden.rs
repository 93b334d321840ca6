//! `[losses.hidden]`: which of the student's hidden states are to say what which of its teacher's say.

use std::fmt;
use std::str::FromStr;

use kernels::loss::HiddenLoss;
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::check::wrong;
use super::losses::{Balance, DEFAULT_WEIGHT};

/// A loss on hidden states, as a norm makes them: those that the layer after reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hidden {
    /// Its share of the sum.
    pub weight: f64,
    /// Whether its weight follows the divergences.
    pub balance: Balance,
    /// How two states are compared.
    pub distance: HiddenLoss,
    /// Which are; the loss is the mean over them.
    pub layers: Vec<Pair>,
}

impl Default for Hidden {
    /// P1's best for a student of half the layers: the embedding, the last layer but two, cosine, dynamic weight.
    fn default() -> Self {
        Self {
            weight: DEFAULT_WEIGHT,
            balance: Balance::Dynamic,
            distance: HiddenLoss::Cosine,
            layers: vec![Pair::Embedding, Pair::Last(2)],
        }
    }
}

/// An output of the student and the one of the teacher that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pair {
    /// `"embedding"`: of the embedding.
    Embedding,
    /// `"last"`, `"last-2"`: of the layer so far from the last, in both.
    Last(usize),
    /// `"29:13"`: of a layer of the teacher and a layer of the student, counted from 0.
    Layers(usize, usize),
}

/// What does not name two layers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a pair of layers; write \"embedding\", \"last\", \"last-2\", or the teacher's and the student's like \"29:13\""
)]
pub struct NotAPair {
    /// What was written.
    pub text: String,
}

impl FromStr for Pair {
    type Err = NotAPair;

    fn from_str(text: &str) -> Result<Self, NotAPair> {
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten()
        };
        let pair = match (text, text.strip_prefix("last-"), text.split_once(':')) {
            ("embedding", ..) => Some(Self::Embedding),
            ("last", ..) => Some(Self::Last(0)),
            (_, Some(back), _) => number(back).map(Self::Last),
            (_, _, Some((of_teacher, of_student))) => {
                number(of_teacher).zip(number(of_student)).map(|(t, s)| Self::Layers(t, s))
            }
            _ => None,
        };
        pair.ok_or_else(|| NotAPair { text: text.into() })
    }
}

impl TryFrom<String> for Pair {
    type Error = NotAPair;

    fn try_from(text: String) -> Result<Self, NotAPair> {
        text.parse()
    }
}

impl From<Pair> for String {
    fn from(pair: Pair) -> Self {
        pair.to_string()
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("embedding"),
            Self::Last(0) => f.write_str("last"),
            Self::Last(back) => write!(f, "last-{back}"),
            Self::Layers(of_teacher, of_student) => write!(f, "{of_teacher}:{of_student}"),
        }
    }
}

impl Hidden {
    /// The norms whose outputs are compared, the teacher's and the student's: norm `i` reads the embedding where `i` is
    /// 0, and layer `i − 1` elsewhere.
    ///
    /// # Errors
    ///
    /// If one of the two has no such layer.
    pub fn norms(
        &self,
        teacher: usize,
        student: usize,
    ) -> Result<Vec<(usize, usize)>, RecipeError> {
        let norms = |pair: &Pair| {
            let found = match *pair {
                Pair::Embedding => Some((0, 0)),
                Pair::Last(back) => teacher.checked_sub(back).zip(student.checked_sub(back)),
                Pair::Layers(of_teacher, of_student) => {
                    Some((of_teacher.saturating_add(1), of_student.saturating_add(1)))
                }
            };
            let is_there = |(t, s): &(usize, usize)| {
                let is_layer = *t > 0 && *s > 0 || *pair == Pair::Embedding;
                is_layer && *t <= teacher && *s <= student
            };
            found.filter(is_there).ok_or_else(|| {
                let expected =
                    format!("layers of a teacher of {teacher} and a student of {student}");
                wrong("losses.hidden.layers", expected, pair)
            })
        };
        self.layers.iter().map(norms).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_from_the_end_or_by_both_numbers() {
        let hidden = |layers: &[&str]| Hidden {
            layers: layers.iter().map(|pair| pair.parse().unwrap()).collect(),
            ..Hidden::default()
        };
        // P1's table 17: the teacher's layer 29 of 32 and the student's 13 of 16.
        let named = hidden(&["embedding", "last-2", "29:13", "last"]);
        assert_eq!(named.norms(32, 16).unwrap(), [(0, 0), (30, 14), (30, 14), (32, 16)]);
        let said = |layers: &[&str]| hidden(layers).norms(4, 2).unwrap_err().to_string();
        assert_eq!(
            said(&["last-2"]),
            "`losses.hidden.layers`: expected layers of a teacher of 4 and a student of 2, found last-2"
        );
        assert!(said(&["4:0"]).ends_with("found 4:0"));
        assert!(said(&["0:2"]).ends_with("found 0:2"));
        for text in ["", "last-", "last+2", "3", ":", "3:", "-1:2", "Embedding"] {
            assert!(text.parse::<Pair>().is_err(), "{text}");
        }
    }
}
