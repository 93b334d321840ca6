//! The sparse form of every divergence: what the gradient of a token is made of.
//!
//! The cells of a token are its known words S and, for all others together, g. Of the student nothing is needed but its
//! logits at S, the log-sum-exp of all and that of the words outside of S; what comes out is
//!
//! ```text
//! ∂L/∂z_i = α q_i             outside of S
//! ∂L/∂z_k = α q_k + s_k       at k in S
//! α = Σ_terms w/τ (pull_g / q_g − Σ pull),    s_k = Σ_terms w/τ (pull_k − q_k pull_g / q_g)
//! ```
//!
//! (`reference/distillation.md`, 2.3): K + 1 numbers a token, whatever the loss, so one pair of passes over the
//! vocabulary serves all of them.

use super::divergence::{Cell, Cells};
use super::objective::LossSums;
use super::rows::argmax;
use super::sparse::{NONE, Rest, Sparse};
use super::terms::{Terms, inverse};
use crate::host::{exp, sum};

/// The largest ratio of the teacher's rest to the student's that its gradient follows: it has no bound of its own where the
/// student has squeezed its tail to nothing.
const MAX_RATIO: f32 = 50.0;

/// What a token's loss needs of the student.
#[derive(Clone, Copy, Debug)]
pub(super) struct Student<'a> {
    /// Its logits at the known words.
    pub(super) z: &'a [f32],
    /// The largest of all.
    pub(super) max: f32,
    /// `ln Σ exp((z − max)/τ)` of all words.
    pub(super) lse: f32,
    /// The same of the words that are not known; −∞ if there are none.
    pub(super) rest_lse: f32,
}

/// What the gradient of a token is made of, beside the student's masses.
#[derive(Clone, Debug, Default)]
pub(super) struct Coefficients {
    /// Of every word's mass.
    pub(super) alpha: f32,
    /// Of each known word, alone.
    pub(super) s: Vec<f32>,
    log_p: Vec<f32>,
    log_q: Vec<f32>,
    pulls: Vec<f32>,
}

impl Coefficients {
    /// The losses of a token, added to `sums`; its coefficients are left here.
    pub(super) fn of(
        &mut self,
        sparse: &Sparse,
        token: usize,
        student: Student<'_>,
        terms: &Terms,
        sums: &mut LossSums,
    ) {
        let (_, known) = sparse.words(token);
        let inverse_tau = inverse(sparse.temperature);
        let Self { alpha, s, log_p, log_q, pulls } = self;
        let log_sum = |x: &[f32]| {
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            max + x.iter().map(|x| exp(x - max)).sum::<f32>().ln()
        };
        log_q.clear();
        log_q.extend(student.z.iter().map(|z| (z - student.max) * inverse_tau));
        let is_subset = sparse.treatment == Rest::Subset;
        let lse = if is_subset { log_sum(log_q) } else { student.lse };
        log_q.iter_mut().for_each(|log_q| *log_q -= lse);
        let scaled = matches!(sparse.treatment, Rest::Subset | Rest::Renormalise);
        let mass = if scaled { log_sum(known) } else { 0.0 };
        log_p.clear();
        log_p.extend(known.iter().map(|log_p| log_p - mass));
        let rest = match sparse.treatment {
            _ if student.rest_lse == f32::NEG_INFINITY => None,
            Rest::Ghost => Some((sparse.rest[token].max(NONE), student.rest_lse - lse)),
            Rest::Renormalise => Some((NONE, student.rest_lse - lse)),
            Rest::Subset | Rest::Sampled => None,
        };
        *alpha = 0.0;
        s.clear();
        s.resize(known.len(), 0.0);
        for term in &terms.terms {
            pulls.clear();
            pulls.resize(known.len(), 0.0);
            let mut cells = Known { log_p, log_q, rest, pulls, rest_pull: 0.0 };
            let (value, pulled) = cells.sum(term.divergence);
            *sums.of_mut(term.divergence) += f64::from(value);
            let q_rest = rest.map_or(0.0, |(_, log_q)| exp(log_q));
            let ratio = if q_rest > 0.0 { cells.rest_pull / q_rest } else { 0.0 };
            let ratio = ratio.clamp(-MAX_RATIO, MAX_RATIO);
            // Nothing leaves the known words where nothing else is looked at.
            let (everywhere, here) =
                if is_subset { (0.0, pulled) } else { (ratio - pulled, ratio) };
            *alpha += term.slope * everywhere;
            for ((s, pull), log_q) in s.iter_mut().zip(&*pulls).zip(&*log_q) {
                *s += term.slope * (pull - exp(*log_q) * here);
            }
        }
    }
}

/// The cells of a token.
struct Known<'a> {
    log_p: &'a [f32],
    log_q: &'a [f32],
    rest: Option<(f32, f32)>,
    pulls: &'a mut [f32],
    rest_pull: f32,
}

impl Known<'_> {
    fn gap(log_p: f32, log_q: f32) -> f32 {
        (exp(log_p) - exp(log_q)).abs()
    }
}

impl Cells for Known<'_> {
    fn pass(&mut self, rest: bool, cell: impl Fn(f32, f32) -> Cell) -> Cell {
        let (mut value, mut pulled) = (0.0, 0.0);
        for ((pull, log_p), log_q) in self.pulls.iter_mut().zip(self.log_p).zip(self.log_q) {
            let (more, of_word) = cell(*log_p, *log_q);
            (value, pulled, *pull) = (value + more, pulled + of_word, of_word);
        }
        self.rest_pull = 0.0;
        if let Some((log_p, log_q)) = self.rest.filter(|_| rest) {
            let (more, of_rest) = cell(log_p, log_q);
            (value, pulled, self.rest_pull) = (value + more, pulled + of_rest, of_rest);
        }
        (value, pulled)
    }

    fn head_share(&mut self, head: f32) -> f32 {
        let mut order: Vec<usize> = (0..self.log_p.len()).collect();
        order.sort_by(|a, b| self.log_p[*b].total_cmp(&self.log_p[*a]));
        let (mut mass, mut inside, mut all) = (0.0, 0.0, 0.0);
        for i in order {
            let gap = Self::gap(self.log_p[i], self.log_q[i]);
            inside += if mass < head { gap } else { 0.0 };
            (all, mass) = (all + gap, mass + exp(self.log_p[i]));
        }
        if let Some((log_p, log_q)) = self.rest {
            all += Self::gap(log_p, log_q);
        }
        if all > 0.0 { inside / all } else { 0.5 }
    }

    fn mean_gap(&mut self) -> Cell {
        let weight = 1.0 / self.log_p.len() as f32;
        let gaps = self.log_q.iter().zip(self.log_p).map(|(log_q, log_p)| log_q - log_p);
        (weight * gaps.sum::<f32>(), weight)
    }
}

/// `Σ exp((z − max)/τ)` of the known words, and of all others.
#[inline(always)]
fn masses(known: &[f32], others: &[f32], max: f32, inverse_tau: f32) -> (f32, f32) {
    let here = known.iter().map(|z| exp((z - max) * inverse_tau)).sum();
    (here, sum(others, |z| exp((z - max) * inverse_tau)))
}

/// What one token adds; with `gradient`, that many times its gradient is left in `z`.
#[inline(always)]
pub(super) fn row(
    z: &mut [f32],
    sparse: &Sparse,
    token: usize,
    label: i64,
    terms: &Terms,
    gradient: Option<f32>,
    scratch: &mut (Coefficients, Vec<f32>),
) -> LossSums {
    let Ok(label) = usize::try_from(label) else {
        if gradient.is_some() {
            z.fill(0.0);
        }
        return LossSums::default();
    };
    let (coefficients, at_words) = scratch;
    let (ids, _) = sparse.words(token);
    let inverse_tau = inverse(sparse.temperature);
    let is_plain = inverse_tau.to_bits() == 1.0f32.to_bits();
    let (best, max) = argmax(z);
    let label_logit = z[label];
    // The known words are taken out of the row, and what is left of it is the rest.
    at_words.clear();
    for id in ids {
        at_words.push(std::mem::replace(&mut z[*id as usize], f32::NEG_INFINITY));
    }
    let (here, rest) = if is_plain && gradient.is_some() {
        // The masses take the place of the logits: the gradient is a multiple of them.
        z.iter_mut().for_each(|z| *z = exp(*z - max));
        (at_words.iter().map(|z| exp(z - max)).sum(), sum(z, |z| z))
    } else {
        masses(at_words, z, max, inverse_tau)
    };
    let plain = if is_plain {
        here + rest
    } else {
        let (here, rest) = masses(at_words, z, max, 1.0);
        here + rest
    };
    let student = Student {
        z: at_words,
        max,
        lse: (here + rest).ln(),
        rest_lse: if ids.len() == z.len() { f32::NEG_INFINITY } else { rest.ln() },
    };
    let mut sums = sparse.seen(token, label, Some(best), plain.ln() - (label_logit - max));
    coefficients.of(sparse, token, student, terms, &mut sums);
    let Some(scale) = gradient else { return sums };
    let ce = scale * terms.cross_entropy;
    let (of_tau, of_plain) = (scale * coefficients.alpha / (here + rest), ce / plain);
    let at = |z: f32| {
        if is_plain {
            exp(z - max) * (of_tau + of_plain)
        } else {
            exp((z - max) * inverse_tau) * of_tau + exp(z - max) * of_plain
        }
    };
    if is_plain {
        z.iter_mut().for_each(|z| *z *= of_tau + of_plain);
    } else {
        z.iter_mut().for_each(|z| *z = at(*z));
    }
    for ((id, logit), s) in ids.iter().zip(&*at_words).zip(&coefficients.s) {
        z[*id as usize] = at(*logit) + scale * s;
    }
    z[label] -= ce;
    sums
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Int, Tensor};

    use super::super::divergence::Divergence;
    use super::super::objective::{Objective, Term};
    use super::super::reference::{ALL, softmax, value};
    use super::super::rows::{Said, losses};
    use super::super::sparse::{NO_WORD, SparseError};
    use super::super::sparse_tensors;
    use super::*;
    use crate::host::{give, take};
    use crate::testing::{assert_close, random};

    const VOCAB: usize = 61;
    const TOKENS: usize = 4;

    /// The most probable words of a teacher, `k` of them a token, one fewer in the last token.
    fn known(t: &Tensor<2>, k: usize, temperature: f64, treatment: Rest) -> Sparse {
        let (mut ids, mut log_probs, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (token, t) in take(t.clone()).chunks(VOCAB).enumerate() {
            let p = softmax(&t.iter().map(|t| f64::from(*t)).collect::<Vec<_>>(), temperature);
            let mut order: Vec<usize> = (0..VOCAB).collect();
            order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
            let count = if token + 1 == TOKENS && k < VOCAB { k - 1 } else { k };
            ids.extend(order[..count].iter().map(|id| *id as u32));
            log_probs.extend(order[..count].iter().map(|id| p[*id].ln() as f32));
            ids.resize((token + 1) * k, NO_WORD);
            log_probs.resize((token + 1) * k, 0.0);
            rest.push(order[count..].iter().map(|id| p[*id]).sum::<f64>().ln() as f32);
        }
        Sparse { k, ids, log_probs, rest, temperature, treatment }
    }

    /// The loss of one token by its definition: cells of masses, made of f64 logits.
    fn defined(d: Divergence, z: &[f64], was: &[f64], sparse: &Sparse, token: usize) -> f64 {
        let (ids, log_p) = sparse.words(token);
        let mut p: Vec<f64> = log_p.iter().map(|p| f64::from(*p).exp()).collect();
        let rest = f64::from(sparse.rest[token]).exp();
        let cells = |z: &[f64]| {
            let q = softmax(z, sparse.temperature);
            let mut cells: Vec<f64> = ids.iter().map(|id| q[*id as usize]).collect();
            let known: f64 = cells.iter().sum();
            match sparse.treatment {
                Rest::Subset => cells.iter_mut().for_each(|q| *q /= known),
                _ if ids.len() < VOCAB => {
                    let is_rest = |i: &usize| !ids.contains(&(*i as u32));
                    cells.push((0..VOCAB).filter(is_rest).map(|i| q[i]).sum());
                }
                _ => {}
            }
            cells
        };
        let (q, was) = (cells(z), cells(was));
        let known: f64 = p.iter().sum();
        if matches!(sparse.treatment, Rest::Subset | Rest::Renormalise) {
            p.iter_mut().for_each(|p| *p /= known);
        }
        if q.len() > p.len() {
            p.push(if sparse.treatment == Rest::Ghost { rest } else { 0.0 });
        }
        value(d, &p, &q, &was, ids.len())
    }

    fn run(z: &Tensor<2>, sparse: &Sparse, o: &Objective, on_host: bool) -> (LossSums, Tensor<2>) {
        let ids = Tensor::<1, Int>::from_ints([3, -1, 60, 12], &z.device());
        let (sums, gradient) = if on_host {
            losses(z.clone(), Said::Words(sparse, 0), ids, o, Some(0.25))
        } else {
            sparse_tensors::losses(z.clone(), sparse, 0, ids, o, Some(0.25))
        };
        (sums, gradient.unwrap())
    }

    const TREATMENTS: [Rest; 4] = [Rest::Ghost, Rest::Renormalise, Rest::Subset, Rest::Sampled];

    #[test]
    fn every_sparse_loss_and_its_gradient_are_those_of_its_definition() {
        let (student, teacher) =
            (random([TOKENS, VOCAB], 1) * 3.0, random([TOKENS, VOCAB], 2) * 4.0);
        let z: Vec<f64> = take(student.clone()).into_iter().map(f64::from).collect();
        let mut met = 0;
        for treatment in TREATMENTS {
            for (k, temperature) in [(5, 1.0), (20, 1.0), (20, 2.0), (VOCAB, 1.0)] {
                let sparse = known(&teacher, k, temperature, treatment);
                for divergence in ALL {
                    let term = Term { divergence, weight: 0.8, temperature, times_squared: true };
                    let o = Objective { divergences: vec![term], cross_entropy: 0.0 };
                    if sparse.check(VOCAB, &o).is_err() {
                        continue;
                    }
                    met += 1;
                    let (mut sum, mut gradient) = (0.0, Vec::new());
                    for (token, z) in z.chunks(VOCAB).enumerate() {
                        if token == 1 {
                            gradient.extend([0.0; VOCAB]);
                            continue;
                        }
                        sum += defined(divergence, z, z, &sparse, token);
                        for i in 0..VOCAB {
                            let at = |h: f64| {
                                let mut moved = z.to_vec();
                                moved[i] += h;
                                defined(divergence, &moved, z, &sparse, token)
                            };
                            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                            gradient.push((term.factor() * slope * 0.25) as f32);
                        }
                    }
                    let expected = give(gradient, [TOKENS, VOCAB], &student.device());
                    for on_host in [true, false] {
                        let (sums, found) = run(&student, &sparse, &o, on_host);
                        let what = format!("host {on_host}, {treatment:?}, k {k}, {term:?}");
                        let found_sum = sums.of(divergence);
                        let close = (found_sum - sum).abs() <= 1e-5 * sum.abs().max(1e-2);
                        assert!(close, "{what}: {found_sum}, expected {sum}");
                        assert_close(found, expected.clone(), 1e-5);
                    }
                }
            }
        }
        assert_eq!(met, 4 * (12 + 8 + 12 + 1));
    }

    #[test]
    fn all_words_known_are_the_dense_loss() {
        let (z, t) = (random([TOKENS, VOCAB], 1) * 3.0, random([TOKENS, VOCAB], 2) * 4.0);
        let ids = Tensor::<1, Int>::from_ints([3, -1, 60, 12], &z.device());
        for treatment in TREATMENTS {
            for temperature in [1.0, 2.0] {
                let sparse = known(&t, VOCAB, temperature, treatment);
                for divergence in ALL {
                    let term = Term { divergence, weight: 0.8, temperature, times_squared: false };
                    let o = Objective { divergences: vec![term], cross_entropy: 0.3 };
                    if sparse.check(VOCAB, &o).is_err() {
                        continue;
                    }
                    let dense = Said::Logits(t.clone());
                    let (sums, gradient) = losses(z.clone(), dense, ids.clone(), &o, Some(0.25));
                    for on_host in [true, false] {
                        let (found, found_gradient) = run(&z, &sparse, &o, on_host);
                        assert_eq!((found.tokens, found.agreed), (sums.tokens, sums.agreed));
                        for (a, b) in [
                            (found.cross_entropy, sums.cross_entropy),
                            (found.of(divergence), sums.of(divergence)),
                        ] {
                            assert!(
                                (a - b).abs() < 1e-5 * b.abs(),
                                "{treatment:?} {term:?}: {a} {b}"
                            );
                        }
                        if temperature < 1.5 {
                            let (a, b) = (found.teacher_cross_entropy, sums.teacher_cross_entropy);
                            assert!((a - b).abs() < 1e-5 * b, "{treatment:?} {term:?}: {a} {b}");
                        }
                        assert_close(found_gradient, gradient.clone().unwrap(), 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn weights_that_were_drawn_give_the_dense_gradient_in_expectation() {
        // Each word is kept with a probability of min(1, p/τ) and weighs max(p, τ): the mean over all draws of a gradient
        // that is linear in the weights is that of the mean weights, which are p.
        let (z, t) = (random([TOKENS, VOCAB], 1) * 3.0, random([TOKENS, VOCAB], 2) * 4.0);
        let all = known(&t, VOCAB, 1.0, Rest::Sampled);
        let o = Objective { cross_entropy: 0.0, ..Objective::forward_kl() };
        let (_, exact) = run(&z, &all, &o, true);
        let (draws, threshold) = (4000u64, 0.05f32);
        let mut mean = vec![0.0f64; TOKENS * VOCAB];
        for draw in 0..draws {
            let uniform = take(random([TOKENS, VOCAB], draw + 10) * 0.5 + 0.5);
            let mut some = Sparse { ids: Vec::new(), log_probs: Vec::new(), ..all.clone() };
            for token in 0..TOKENS {
                let (ids, log_p) = all.words(token);
                for (id, log_p) in ids.iter().zip(log_p) {
                    let p = log_p.exp();
                    if uniform[token * VOCAB + *id as usize] < p / threshold {
                        some.ids.push(*id);
                        some.log_probs.push(p.max(threshold).ln());
                    }
                }
                some.ids.resize((token + 1) * VOCAB, NO_WORD);
                some.log_probs.resize((token + 1) * VOCAB, 0.0);
            }
            let (_, gradient) = run(&z, &some, &o, true);
            mean.iter_mut().zip(take(gradient)).for_each(|(m, g)| *m += f64::from(g));
        }
        // The standard error of a weight of the threshold, in four thousand draws, is below 0.0008; a quarter is the scale.
        for (mean, exact) in mean.iter().zip(take(exact)) {
            let off = (mean / draws as f64 - f64::from(exact)).abs();
            assert!(off < 4.0 * 0.25 * 0.0011, "off by {off}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        let t = random([TOKENS, VOCAB], 2) * 4.0;
        let sparse = known(&t, 5, 1.0, Rest::Sampled);
        let with =
            |divergence| Objective { divergences: vec![Term::new(divergence)], cross_entropy: 0.0 };
        let said = |sparse: &Sparse, o: &Objective| sparse.check(VOCAB, o).unwrap_err().to_string();
        assert_eq!(
            said(&sparse, &with(Divergence::ReverseKl)),
            "reverse_kl cannot be had of a teacher of whom words were drawn: it is not linear in the teacher's probabilities"
        );
        let all = Sparse { treatment: Rest::Renormalise, ..sparse.clone() };
        assert!(
            said(&all, &with(Divergence::ReverseKl))
                .ends_with("it is infinite where the teacher has no mass")
        );
        assert!(
            said(&all, &Objective::mixed(1.0, 2.0, 0.0))
                .ends_with("its temperature is 2, that of the known words 1")
        );
        let o = Objective::forward_kl();
        assert_eq!(
            Sparse { ids: vec![61; 20], ..sparse.clone() }.check(VOCAB, &o),
            Err(SparseError::Word { token: 0, id: 61, vocab: VOCAB })
        );
        assert_eq!(
            said(&Sparse { ids: vec![1; 3], ..sparse.clone() }, &o),
            "4 tokens of 5 words have 20 ids, found 3"
        );
        assert_eq!(said(&Sparse { ids: vec![NO_WORD; 20], ..sparse }, &o), "token 0 has no words");
    }
}
