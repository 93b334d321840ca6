//! What pass 1 over the vocabulary sees of a token, and what pass 2 makes its gradient of.

use super::coefficients::{Coefficients, Student};
use super::objective::LossSums;
use super::sparse::Sparse;
use super::terms::Terms;
use crate::host::exp;

/// What is known of a row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) label: Option<usize>,
    pub(super) label_logit: f32,
    pub(super) best: usize,
    pub(super) max: f32,
    /// `Σ exp((z − max)/τ)` and `Σ exp(z − max)` of the words that are not known.
    pub(super) rest: f32,
    pub(super) rest_plain: f32,
    /// The known words, by id, with their places among the teacher's.
    pub(super) order: Vec<(usize, usize)>,
    pub(super) at_words: Vec<f32>,
    /// Of the gradient: of every word's mass at τ and at 1, and of each known word alone.
    pub(super) of_tau: f32,
    pub(super) of_plain: f32,
    pub(super) s: Vec<f32>,
}

impl Row {
    pub(super) fn new(sparse: Option<&Sparse>, token: usize, label: i64) -> Self {
        let ids = sparse.map_or(&[][..], |sparse| sparse.words(token).0);
        let mut order: Vec<(usize, usize)> =
            ids.iter().enumerate().map(|(place, id)| (*id as usize, place)).collect();
        order.sort_unstable();
        Self {
            label: usize::try_from(label).ok(),
            label_logit: 0.0,
            best: 0,
            max: f32::NEG_INFINITY,
            rest: 0.0,
            rest_plain: 0.0,
            at_words: vec![0.0; order.len()],
            order,
            of_tau: 0.0,
            of_plain: 0.0,
            s: Vec::new(),
        }
    }

    /// The known words of a tile: place in the tile, and place among the teacher's.
    pub(super) fn within(&self, first: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
        let begin = self.order.partition_point(|(id, _)| *id < first);
        let tile = self.order[begin..].iter().take_while(move |(id, _)| *id < first + len);
        tile.map(move |(id, place)| (id - first, *place))
    }

    /// Between the passes.
    pub(super) fn weigh(
        &mut self,
        sparse: Option<(&Sparse, usize)>,
        vocab: usize,
        inverse_tau: f32,
        terms: &Terms,
        scale: f32,
        coefficients: &mut Coefficients,
    ) -> LossSums {
        let Some(label) = self.label else { return LossSums::default() };
        let (max, is_plain) = (self.max, inverse_tau.to_bits() == 1.0f32.to_bits());
        let here = |inverse_tau: f32| -> f32 {
            self.at_words.iter().map(|z| exp((z - max) * inverse_tau)).sum()
        };
        let mass = here(inverse_tau) + self.rest;
        let plain = if is_plain { mass } else { here(1.0) + self.rest_plain };
        let cross_entropy = plain.ln() - (self.label_logit - max);
        let mut sums = match sparse {
            Some((sparse, token)) => {
                let is_whole = self.order.len() == vocab;
                let student = Student {
                    z: &self.at_words,
                    max,
                    lse: mass.ln(),
                    rest_lse: if is_whole { f32::NEG_INFINITY } else { self.rest.ln() },
                };
                let mut sums = sparse.seen(token, label, Some(self.best), cross_entropy);
                coefficients.of(sparse, token, student, terms, &mut sums);
                self.of_tau = scale * coefficients.alpha / mass;
                self.s.clone_from(&coefficients.s);
                sums
            }
            None => LossSums { tokens: 1, ..LossSums::default() },
        };
        sums.cross_entropy = f64::from(cross_entropy);
        self.of_plain = scale * terms.cross_entropy / plain;
        sums
    }
}
