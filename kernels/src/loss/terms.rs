//! A row of logits under any mixture of divergences: the structure of [`divergence`](super::divergence), on the host.
//!
//! Two passes a term: one sums values and pulls and leaves the pulls, one takes `q Σ pull` off. The mixture of forward KL
//! and cross-entropy alone has a shorter way, in [`rows`](super::rows).

use super::divergence::{Cell, Cells, Divergence};
use super::objective::{LossSums, Objective};
use super::rows::argmax;
use crate::host::{LANES, exp, sum, sum2};

/// A term in the numbers that a row needs.
pub(super) struct RowTerm {
    pub(super) divergence: Divergence,
    inverse_tau: f32,
    /// Of the gradient: the weight, times τ² or not, times the 1/τ of the chain rule.
    pub(super) slope: f32,
}

/// An objective in the numbers that a row needs.
pub(super) struct Terms {
    pub(super) terms: Vec<RowTerm>,
    pub(super) cross_entropy: f32,
}

impl Terms {
    #[expect(clippy::cast_possible_truncation, reason = "weights, in the logits' type")]
    pub(super) fn new(objective: &Objective) -> Self {
        let all = std::iter::once(objective.forward_kl_term()).chain(objective.others().copied());
        let terms = all.map(|term| RowTerm {
            divergence: term.divergence,
            inverse_tau: inverse(term.temperature),
            slope: term.slope() as f32,
        });
        Self { terms: terms.collect(), cross_entropy: objective.cross_entropy as f32 }
    }
}

/// One over a temperature, in the logits' type.
#[expect(clippy::cast_possible_truncation, reason = "a constant, in the logits' type")]
pub(super) fn inverse(temperature: f64) -> f32 {
    (1.0 / temperature) as f32
}

/// What a thread keeps from row to row.
#[derive(Clone, Default)]
pub(super) struct Scratch {
    gradient: Vec<f32>,
    order: Vec<f32>,
}

/// `ln softmax(x / τ)`, a word at a time.
#[derive(Clone, Copy)]
struct LogSoftmax {
    max: f32,
    inverse_tau: f32,
    log_mass: f32,
}

impl LogSoftmax {
    #[inline(always)]
    fn new(x: &[f32], max: f32, inverse_tau: f32) -> Self {
        let log_mass = sum(x, |x| exp((x - max) * inverse_tau)).ln();
        Self { max, inverse_tau, log_mass }
    }

    #[inline(always)]
    fn at(&self, x: f32) -> f32 {
        (x - self.max) * self.inverse_tau - self.log_mass
    }
}

/// What one token adds; with `gradient`, that many times its gradient is left in `z`.
#[inline(always)]
pub(super) fn row(
    z: &mut [f32],
    t: &[f32],
    label: i64,
    terms: &Terms,
    gradient: Option<f32>,
    scratch: &mut Scratch,
) -> LossSums {
    let Ok(label) = usize::try_from(label) else {
        if gradient.is_some() {
            z.fill(0.0);
        }
        return LossSums::default();
    };
    let ((z_best, z_max), (t_best, t_max)) = (argmax(z), argmax(t));
    let (log_q, log_p) = (LogSoftmax::new(z, z_max, 1.0), LogSoftmax::new(t, t_max, 1.0));
    let mut sums = LossSums {
        tokens: 1,
        cross_entropy: -f64::from(log_q.at(z[label])),
        agreed: u64::from(z_best == t_best),
        teacher_cross_entropy: -f64::from(log_p.at(t[label])),
        ..LossSums::default()
    };
    let Scratch { gradient: pulls, order } = scratch;
    pulls.clear();
    pulls.resize(z.len(), 0.0);
    for term in &terms.terms {
        let (log_q, log_p) = if term.inverse_tau.to_bits() == 1.0f32.to_bits() {
            (log_q, log_p)
        } else {
            let of = |x: &[f32], max| LogSoftmax::new(x, max, term.inverse_tau);
            (of(z, z_max), of(t, t_max))
        };
        let slope = term.slope * gradient.unwrap_or_default();
        let (value, pulled) =
            Words { z, t, log_q, log_p, slope, pulls, order }.sum(term.divergence);
        *sums.of_mut(term.divergence) = f64::from(value);
        if gradient.is_some() {
            let all = slope * pulled;
            for (g, z) in pulls.iter_mut().zip(z.iter()) {
                *g -= all * exp(log_q.at(*z));
            }
        }
    }
    let Some(scale) = gradient else { return sums };
    let ce = scale * terms.cross_entropy;
    for (z, g) in z.iter_mut().zip(pulls.iter()) {
        *z = g + ce * exp(log_q.at(*z));
    }
    z[label] -= ce;
    sums
}

/// Two rows, a cell a word; `slope` times the pulls is added to `pulls`.
struct Words<'a> {
    z: &'a [f32],
    t: &'a [f32],
    log_q: LogSoftmax,
    log_p: LogSoftmax,
    slope: f32,
    pulls: &'a mut [f32],
    order: &'a mut Vec<f32>,
}

impl Cells for Words<'_> {
    #[inline(always)]
    fn pass(&mut self, _: bool, cell: impl Fn(f32, f32) -> Cell) -> Cell {
        let (mut values, mut sums) = ([0.0f32; LANES], [0.0f32; LANES]);
        let (zs, z_rest) = self.z.as_chunks::<LANES>();
        let (ts, t_rest) = self.t.as_chunks::<LANES>();
        let (gs, g_rest) = self.pulls.as_chunks_mut::<LANES>();
        let (log_p, log_q, slope) = (self.log_p, self.log_q, self.slope);
        let one = |z: f32, t: f32, g: &mut f32, value: &mut f32, sum: &mut f32| {
            let (v, pull) = cell(log_p.at(t), log_q.at(z));
            *value += v;
            *sum += pull;
            *g += slope * pull;
        };
        for ((z, t), g) in zs.iter().zip(ts).zip(gs) {
            for i in 0..LANES {
                one(z[i], t[i], &mut g[i], &mut values[i], &mut sums[i]);
            }
        }
        for (i, ((z, t), g)) in z_rest.iter().zip(t_rest).zip(g_rest).enumerate() {
            one(*z, *t, g, &mut values[i], &mut sums[i]);
        }
        (values.iter().sum(), sums.iter().sum())
    }

    #[inline(always)]
    fn head_share(&mut self, head: f32) -> f32 {
        let last = self.last_of_head(head);
        let gap = |z: f32, t: f32| (exp(self.log_p.at(t)) - exp(self.log_q.at(z))).abs();
        let all = sum2(self.z, self.t, gap);
        let inside = sum2(self.z, self.t, |z, t| if t >= last { gap(z, t) } else { 0.0 });
        if all > 0.0 { inside / all } else { 0.5 }
    }

    #[inline(always)]
    fn mean_gap(&mut self) -> Cell {
        let weight = 1.0 / self.z.len() as f32;
        (weight * sum2(self.z, self.t, |z, t| self.log_q.at(z) - self.log_p.at(t)), weight)
    }
}

impl Words<'_> {
    /// The smallest logit of the head; words as probable as the last of it belong to it. The most probable words are
    /// sorted, and no more of them than it takes.
    fn last_of_head(&mut self, head: f32) -> f32 {
        let order = &mut *self.order;
        order.clear();
        order.extend_from_slice(self.t);
        let falling = |a: &f32, b: &f32| b.total_cmp(a);
        let mut count = 64;
        loop {
            count = count.min(order.len());
            if count < order.len() {
                order.select_nth_unstable_by(count, falling);
            }
            let top = &mut order[..count];
            top.sort_unstable_by(falling);
            let mut mass = 0.0;
            for t in top.iter() {
                mass += exp(self.log_p.at(*t));
                if mass >= head {
                    return *t;
                }
            }
            if count == order.len() {
                return f32::NEG_INFINITY;
            }
            count *= 8;
        }
    }
}
