//! What removed query heads leave behind in those that stay.
//!
//! Muralidharan et al. 2024, arXiv:2407.14679, section 2.3: of `L` heads in order of importance `K` stay, and
//! `head_i ± (head_i − head_j)` with `j = 2K − i + 1` takes the place of the last of them: the last that stays is paired
//! with the first that goes, the last but one with the second, and so on. The paper prints `i ∈ [K − (L − K), K]`; at
//! its lower end `j` would be `L + 1`, so the range begins one later here. Where more go than stay (`L − K > K`), the
//! least important have no partner.
//!
//! With grouped queries the paper changes the query heads alone: here the columns of `W_q` (and its bias), by rank
//! inside each group; `W_o` keeps the head's own rows. With `plus` a head becomes `2 q_i − q_j`, as printed. With
//! `minus` it becomes `q_j` itself: the queries of the removed head at the outputs of the kept one, which is what LaCo's
//! `θ_i + Σ (θ_j − θ_i)` (arXiv:2402.11187) comes to for a single `j`. No code of NVIDIA's does either.

use serde::{Deserialize, Serialize};

/// The sign; off by default, because the papers give no number for it and their code does not do it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadAddBack {
    /// Heads that stay are left as they are.
    #[default]
    Off,
    /// `head_i + (head_i − head_j)`, as the paper prints it.
    Plus,
    /// `head_i − (head_i − head_j)`, which is `head_j`.
    Minus,
}

impl HeadAddBack {
    /// The word of a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Plus => "plus",
            Self::Minus => "minus",
        }
    }

    /// Whether nothing is added: serde leaves the key out.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// Kept and removed heads of one group that go together: `ranked` is the group in order of importance, the first
/// `kept` of it stay. The pair of the last that stays comes first.
#[must_use]
pub fn pairs(ranked: &[usize], kept: usize) -> Vec<[usize; 2]> {
    let (stay, go) = ranked.split_at(kept.min(ranked.len()));
    stay.iter().rev().zip(go).map(|(stays, goes)| [*stays, *goes]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's formula, with ranks from 1.
    fn printed(ranked: &[usize], k: usize) -> Vec<[usize; 2]> {
        let l = ranked.len();
        let first = (2 * k + 1).saturating_sub(l).max(1);
        (first..=k).rev().map(|i| [ranked[i - 1], ranked[2 * k - i]]).collect()
    }

    #[test]
    fn the_pairs_are_those_of_the_printed_formula_without_its_last() {
        assert_eq!(pairs(&[5, 3, 9, 7, 1, 8], 4), [[7, 1], [9, 8]]);
        for l in 1..9 {
            let ranked: Vec<usize> = (0..l).map(|i| (i * 5 + 2) % 11).collect();
            for k in 1..=l {
                assert_eq!(pairs(&ranked, k), printed(&ranked, k), "{k} of {l}");
                assert_eq!(pairs(&ranked, k).len(), k.min(l - k));
            }
        }
    }
}
