//! One chunk of logits: its losses, and in place of the student's logits their gradient.
//!
//! With `lse(z) = ln Σ exp z`: `−ln q_y = lse(z) − z_y`;
//! `KL(p ‖ q) = Σ p (t − z)/τ − lse(t/τ) + lse(z/τ)`;
//! `dL/dz = w_kl τ (q_τ − p_τ) + w_ce (q − 1_y)`. What the papers distil by, forward KL and cross-entropy, goes this way
//! in one pass; any other mixture goes by [`terms`].

use burn::tensor::{Int, Tensor};
use rayon::prelude::*;

use super::objective::{LossSums, Objective};
use super::sparse::Sparse;
use super::terms::{self, Scratch, Terms};
use super::{coefficients, sparse_tensors, tensors};
use crate::host::{LANES, exp, fits, hold, max, sum, take_ints, wide};

/// What the teacher says of a chunk.
pub(super) enum Said<'a> {
    /// There is none.
    Nothing,
    /// `[tokens, vocab]`.
    Logits(Tensor<2>),
    /// A few words a token, from this one on.
    Words(&'a Sparse, usize),
}

/// The sums of a chunk and, if `scale` is given, `scale · dL/dz`.
///
/// # Shapes
///
/// - student, teacher: `[tokens, vocab]`; labels: `[tokens]`, −1 where nothing is predicted
/// - output: `[tokens, vocab]`
pub(super) fn losses(
    student: Tensor<2>,
    teacher: Said<'_>,
    labels: Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<Tensor<2>>) {
    match teacher {
        Said::Words(sparse, first) if fits(&student) => {
            words(student, sparse, first, labels, objective, scale)
        }
        Said::Words(sparse, first) => {
            sparse_tensors::losses(student, sparse, first, labels, objective, scale)
        }
        Said::Logits(teacher) if fits(&student) && fits(&teacher) => {
            host(student, Some(teacher), labels, objective, scale)
        }
        Said::Logits(teacher) => tensors::losses(student, Some(teacher), labels, objective, scale),
        Said::Nothing if fits(&student) => host(student, None, labels, objective, scale),
        Said::Nothing => tensors::losses(student, None, labels, objective, scale),
    }
}

/// What one token adds; `gradient` says what to leave in `z`.
#[inline(always)]
fn row(
    z: &mut [f32],
    t: Option<&mut [f32]>,
    label: i64,
    o: &Row,
    gradient: Option<f32>,
) -> LossSums {
    let Ok(label) = usize::try_from(label) else {
        // Nothing is predicted here: no loss, and no gradient.
        if gradient.is_some() {
            z.fill(0.0);
        }
        return LossSums::default();
    };
    let label_logit = z[label];
    let (z_best, z_max) = argmax(z);
    let mut sums = LossSums { tokens: 1, ..LossSums::default() };

    // The teacher's probabilities at τ take the place of its logits; Σ p (t − z) is gathered first.
    let mut kl_part = 0.0;
    let teacher = t.map(|t| {
        let (t_best, t_max) = argmax(t);
        let t_label = t[label];
        sums.agreed = u64::from(t_best == z_best);
        let mut weighted = [0.0f32; LANES];
        let mut mass = [0.0f32; LANES];
        let mut plain = [0.0f32; LANES];
        for (t, z) in t.chunks_mut(LANES).zip(z.chunks(LANES)) {
            for (i, (t, z)) in t.iter_mut().zip(z).enumerate() {
                let gap = (*t - t_max) - (*z - z_max);
                if !o.is_plain {
                    plain[i] += exp(*t - t_max);
                }
                *t = exp((*t - t_max) * o.inverse_tau);
                mass[i] += *t;
                weighted[i] += *t * gap;
            }
        }
        let mass: f32 = mass.iter().sum();
        let weighted: f32 = weighted.iter().sum();
        kl_part = f64::from(weighted / mass * o.inverse_tau) - f64::from(mass).ln();
        let plain = if o.is_plain { mass } else { plain.iter().sum() };
        sums.teacher_cross_entropy = f64::from(plain).ln() - f64::from(t_label - t_max);
        (t, 1.0 / mass)
    });

    let q_mass: f32;
    let mut q_mass_tau = 1.0;
    if gradient.is_some() && o.is_plain {
        for z in z.iter_mut() {
            *z = exp(*z - z_max);
        }
        q_mass = sum(z, |z| z);
        q_mass_tau = q_mass;
    } else {
        q_mass = sum(z, |z| exp(z - z_max));
        if o.is_plain {
            q_mass_tau = q_mass;
        } else if teacher.is_some() {
            q_mass_tau = sum(z, |z| exp((z - z_max) * o.inverse_tau));
        }
    }
    sums.cross_entropy = f64::from(q_mass).ln() - f64::from(label_logit - z_max);
    if teacher.is_some() {
        sums.forward_kl = kl_part + f64::from(q_mass_tau).ln();
    }
    let Some(scale) = gradient else { return sums };

    let (ce, kl) =
        (scale * o.cross_entropy, if teacher.is_some() { scale * o.forward_kl } else { 0.0 });
    let (q, q_tau) = (ce / q_mass, kl / q_mass_tau);
    match teacher {
        Some((p, inverse)) => {
            let p_scale = kl * inverse;
            for (z, p) in z.iter_mut().zip(p.iter()) {
                *z = if o.is_plain {
                    *z * (q + q_tau) - p * p_scale
                } else {
                    exp(*z - z_max) * q + exp((*z - z_max) * o.inverse_tau) * q_tau - p * p_scale
                };
            }
        }
        None if o.is_plain => z.iter_mut().for_each(|z| *z *= q),
        None => z.iter_mut().for_each(|z| *z = exp(*z - z_max) * q),
    }
    z[label] -= ce;
    sums
}

/// Forward KL and cross-entropy in the numbers that a row needs.
struct Row {
    inverse_tau: f32,
    is_plain: bool,
    forward_kl: f32,
    cross_entropy: f32,
}

impl Row {
    #[expect(clippy::cast_possible_truncation, reason = "weights, in the logits' type")]
    fn new(o: &Objective) -> Self {
        let kl = o.forward_kl_term();
        Self {
            inverse_tau: (1.0 / kl.temperature) as f32,
            is_plain: (kl.temperature - 1.0).abs() < f64::EPSILON,
            forward_kl: kl.slope() as f32,
            cross_entropy: o.cross_entropy as f32,
        }
    }
}

/// The largest value and the first place it stands, as transformers' argmax has it.
#[inline(always)]
pub(super) fn argmax(values: &[f32]) -> (usize, f32) {
    let max = max(values);
    let place = values.iter().position(|v| v.to_bits() == max.to_bits() || *v >= max);
    (place.unwrap_or(0), max)
}

#[expect(clippy::cast_possible_truncation, reason = "f32 is the logits' type")]
fn host(
    student: Tensor<2>,
    teacher: Option<Tensor<2>>,
    labels: Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<Tensor<2>>) {
    let ([tokens, vocab], device) = (student.dims(), student.device());
    let mut z = hold(student);
    let mut t = teacher.map(hold);
    let (labels, o, scale) = (take_ints(labels), Row::new(objective), scale.map(|s| s as f32));
    let mut sums = vec![LossSums::default(); tokens];
    let rows = sums.par_iter_mut().zip(z.par_chunks_mut(vocab)).zip(&labels);
    match &mut t {
        Some(t) if objective.others().next().is_some() => {
            let (terms, rows) = (Terms::new(objective), rows.zip(t.par_chunks(vocab)));
            rows.for_each_init(Scratch::default, |scratch, (((sum, z), label), t)| {
                *sum = wide(
                    #[inline(always)]
                    || terms::row(z, t, *label, &terms, scale, scratch),
                );
            });
        }
        Some(t) => rows.zip(t.par_chunks_mut(vocab)).for_each(|(((sum, z), label), t)| {
            *sum = wide(
                #[inline(always)]
                || row(z, Some(t), *label, &o, scale),
            );
        }),
        None => rows.for_each(|((sum, z), label)| {
            *sum = wide(
                #[inline(always)]
                || row(z, None, *label, &o, scale),
            );
        }),
    }
    let mut total = LossSums::default();
    sums.iter().for_each(|sum| total.add(sum));
    (total, scale.map(|_| z.tensor(&device)))
}

#[expect(clippy::cast_possible_truncation, reason = "f32 is the logits' type")]
fn words(
    student: Tensor<2>,
    sparse: &Sparse,
    first: usize,
    labels: Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<Tensor<2>>) {
    let ([tokens, vocab], device) = (student.dims(), student.device());
    let (mut z, labels) = (hold(student), take_ints(labels));
    let (terms, scale) = (Terms::new(objective), scale.map(|s| s as f32));
    let mut sums = vec![LossSums::default(); tokens];
    let rows = sums.par_iter_mut().zip(z.par_chunks_mut(vocab)).zip(&labels).enumerate();
    rows.for_each_init(Default::default, |scratch, (i, ((sum, z), label))| {
        *sum = wide(
            #[inline(always)]
            || coefficients::row(z, sparse, first + i, *label, &terms, scale, scratch),
        );
    });
    let mut total = LossSums::default();
    sums.iter().for_each(|sum| total.add(sum));
    (total, scale.map(|_| z.tensor(&device)))
}

#[cfg(test)]
mod tests {
    use super::super::divergence::Divergence;
    use super::super::objective::Term;
    use super::super::reference::{self, ALL};
    use super::super::tensors::losses as tensors;
    use super::*;
    use crate::host::{give, take};
    use crate::testing::{assert_close, random};

    fn softmax(x: &[f32], tau: f64) -> Vec<f64> {
        reference::softmax(&x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), tau)
    }

    /// The definitions, in f64 and in loops: (cross-entropy, KL, dL/dz).
    fn exact(z: &[f32], t: &[f32], label: usize, o: &Objective) -> (f64, f64, Vec<f64>) {
        let (kl_term, tau) = (o.forward_kl_term(), o.forward_kl_term().temperature);
        let (q, q_tau, p) = (softmax(z, 1.0), softmax(z, tau), softmax(t, tau));
        let kl = p.iter().zip(&q_tau).map(|(p, q)| p * (p / q).ln()).sum();
        let gradient = (0..z.len())
            .map(|i| {
                let hot = if i == label { 1.0 } else { 0.0 };
                kl_term.factor() / tau * (q_tau[i] - p[i]) + o.cross_entropy * (q[i] - hot)
            })
            .collect();
        (-q[label].ln(), kl, gradient)
    }

    #[test]
    fn one_pass_and_tensor_operations_agree_with_the_definition() {
        let (student, teacher) = (random([6, 37], 1) * 5.0, random([6, 37], 2) * 5.0);
        let labels = [3i32, 0, 36, 12, 5, 5];
        let ids = Tensor::<1, Int>::from_ints(labels, &student.device());
        for (kl, tau, ce) in [(1.0, 1.0, 0.0), (0.7, 2.0, 0.3), (0.0, 1.0, 1.0), (1.0, 0.5, 0.5)] {
            let o = Objective::mixed(kl, tau, ce);
            let (z, t) = (take(student.clone()), take(teacher.clone()));
            #[expect(clippy::cast_possible_truncation, reason = "the type of what is compared")]
            let rounded = |g: &f64| (g * 0.25) as f32;
            let mut expected = (0.0, 0.0, Vec::new());
            for (i, label) in labels.iter().enumerate() {
                let rows = i * 37..(i + 1) * 37;
                let (e, k, g) = exact(&z[rows.clone()], &t[rows], *label as usize, &o);
                expected.0 += e;
                expected.1 += k;
                expected.2.extend(g.iter().map(rounded));
            }
            for path in [host, tensors] {
                let (sums, gradient) =
                    path(student.clone(), Some(teacher.clone()), ids.clone(), &o, Some(0.25));
                assert!((sums.cross_entropy - expected.0).abs() < 1e-4, "{sums:?}");
                assert!((sums.forward_kl - expected.1).abs() < 1e-4, "{sums:?} {expected:?}");
                let reference = give(expected.2.clone(), [6, 37], &student.device());
                assert_close(gradient.unwrap(), reference, 1e-5);
            }
        }
    }

    #[test]
    fn a_student_that_is_the_teacher_has_no_divergence_and_no_gradient() {
        let z = random([4, 50], 1) * 10.0;
        let ids = Tensor::<1, Int>::from_ints([0, 1, 2, 3], &z.device());
        let (sums, gradient) = host(z.clone(), Some(z), ids, &Objective::forward_kl(), Some(1.0));
        assert!(sums.forward_kl.abs() < 1e-6, "{sums:?}");
        assert_eq!(sums.agreed, 4);
        assert!(take(gradient.unwrap()).iter().all(|g| g.abs() < 1e-7));
    }

    #[test]
    fn without_a_teacher_both_paths_give_cross_entropy() {
        let z = random([4, 50], 1) * 10.0;
        let ids = Tensor::<1, Int>::from_ints([0, 1, 2, 3], &z.device());
        let o = Objective::cross_entropy();
        let (a, da) = host(z.clone(), None, ids.clone(), &o, Some(0.5));
        let (b, db) = tensors(z, None, ids, &o, Some(0.5));
        assert!((a.cross_entropy - b.cross_entropy).abs() < 1e-4);
        assert_close(da.unwrap(), db.unwrap(), 1e-5);
    }

    #[test]
    fn a_position_without_a_label_adds_nothing() {
        let (z, t) = (random([4, 50], 1) * 10.0, random([4, 50], 2));
        let ids = |labels: [i32; 4]| Tensor::<1, Int>::from_ints(labels, &z.device());
        let o = Objective::mixed(0.5, 1.0, 0.5);
        for path in [host, tensors] {
            for teacher in [None, Some(t.clone())] {
                let all = path(z.clone(), teacher.clone(), ids([3, 5, 7, 9]), &o, Some(1.0));
                let some = path(z.clone(), teacher.clone(), ids([3, -1, 7, -1]), &o, Some(1.0));
                let rows =
                    |x: &Tensor<2>| x.clone().select(0, Tensor::from_ints([0, 2], &x.device()));
                let kept = path(
                    rows(&z),
                    teacher.map(|t| rows(&t)),
                    Tensor::from_ints([3, 7], &z.device()),
                    &o,
                    Some(1.0),
                );
                assert_eq!(some.0, kept.0);
                assert_eq!(some.0.tokens, 2);
                let (all, some) = (take(all.1.unwrap()), take(some.1.unwrap()));
                assert_eq!(some[..50], all[..50]);
                assert_eq!(some[100..150], all[100..150]);
                assert!(some[50..100].iter().chain(&some[150..]).all(|g| *g == 0.0));
            }
        }
    }

    /// The loss of one row by its definition, of f64 logits. What a gradient does not go through is taken from `was`.
    fn defined(d: Divergence, z: &[f64], t: &[f64], was: &[f64], tau: f64) -> f64 {
        if d == Divergence::LogitMse {
            let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
            let (z_mean, t_mean) = (mean(z), mean(t));
            let gaps = z.iter().zip(t).map(|(z, t)| ((z - z_mean) - (t - t_mean)) / tau);
            return gaps.map(|gap| gap * gap).sum::<f64>() / z.len() as f64;
        }
        let of = |x: &[f64]| reference::softmax(x, tau);
        reference::value(d, &of(t), &of(z), &of(was), z.len())
    }

    /// The gradient is that of the definition by central differences: nothing of the structure is used.
    #[test]
    fn every_divergence_and_its_gradient_are_those_of_its_definition() {
        const VOCAB: usize = 101;
        let (student, teacher) = (random([5, VOCAB], 1) * 4.0, random([5, VOCAB], 2) * 4.0);
        let exact =
            |x: &Tensor<2>| -> Vec<f64> { take(x.clone()).into_iter().map(f64::from).collect() };
        let (z, t) = (exact(&student), exact(&teacher));
        let ids = Tensor::<1, Int>::from_ints([3, 0, 100, 12, 5], &student.device());
        for divergence in ALL {
            for (temperature, times_squared) in
                [(1.0, true), (2.0, true), (2.0, false), (0.7, true)]
            {
                let term = Term { divergence, weight: 0.8, temperature, times_squared };
                let o = Objective { divergences: vec![term], cross_entropy: 0.0 };
                let (mut value, mut gradient) = (0.0, Vec::new());
                for (z, t) in z.chunks(VOCAB).zip(t.chunks(VOCAB)) {
                    value += defined(divergence, z, t, z, temperature);
                    for i in 0..VOCAB {
                        let at = |h: f64| {
                            let mut moved = z.to_vec();
                            moved[i] += h;
                            defined(divergence, &moved, t, z, temperature)
                        };
                        let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                        #[expect(clippy::cast_possible_truncation, reason = "of what is compared")]
                        gradient.push((term.factor() * slope * 0.25) as f32);
                    }
                }
                let expected = give(gradient, [5, VOCAB], &student.device());
                let general = Objective {
                    // A weightless second term, so that forward KL, too, goes the general way.
                    divergences: vec![
                        term,
                        Term { weight: 0.0, ..Term::new(Divergence::LogitMse) },
                    ],
                    cross_entropy: 0.0,
                };
                for (name, path, o) in [
                    ("host", host as fn(_, _, _, &_, _) -> _, &o),
                    ("general", host, &general),
                    ("tensors", tensors, &o),
                ] {
                    if name == "general" && divergence == Divergence::LogitMse {
                        continue;
                    }
                    let (sums, found): (LossSums, Option<Tensor<2>>) =
                        path(student.clone(), Some(teacher.clone()), ids.clone(), o, Some(0.25));
                    let sum = sums.of(divergence);
                    let close = (sum - value).abs() <= 1e-5 * value.abs();
                    assert!(close, "{name}, {term:?}: {sum}, expected {value}");
                    assert_close(found.unwrap(), expected.clone(), 1e-5);
                    let mean = o.mean(&sums);
                    assert!((mean - term.factor() * value / 5.0).abs() <= 1e-5 * mean.abs());
                }
            }
        }
    }

    #[test]
    fn losses_that_are_mixed_are_their_sum() {
        let (z, t) = (random([6, 300], 1) * 5.0, random([6, 300], 2) * 5.0);
        let ids = Tensor::<1, Int>::from_ints([3, 0, 299, 12, -1, 5], &z.device());
        let term = |divergence, weight, temperature| Term {
            divergence,
            weight,
            temperature,
            times_squared: true,
        };
        let terms = vec![
            term(Divergence::ForwardKl, 0.5, 2.0),
            term(Divergence::ReverseKl, 0.3, 1.0),
            term(Divergence::JensenShannon { beta: 0.3 }, 2.0, 1.5),
            term(Divergence::LogitMse, 0.01, 1.0),
        ];
        for path in [host, tensors] {
            let of = |divergences: Vec<Term>, cross_entropy| {
                let o = Objective { divergences, cross_entropy };
                let (sums, gradient) =
                    path(z.clone(), Some(t.clone()), ids.clone(), &o, Some(0.25));
                (o.mean(&sums), gradient.unwrap(), sums)
            };
            let (all, gradient, sums) = of(terms.clone(), 0.7);
            assert_eq!(sums.tokens, 5);
            let (mut mean, mut sum, _) = of(Vec::new(), 0.7);
            for term in &terms {
                let (one, gradient, _) = of(vec![*term], 0.0);
                mean += one;
                sum = sum + gradient;
            }
            assert!((all - mean).abs() < 1e-5 * all, "{all}, the sum {mean}");
            assert_close(gradient, sum, 1e-5);
        }
    }

    #[test]
    fn a_loss_that_is_only_reported_has_no_gradient_and_needs_none() {
        let (z, t) = (random([3, 64], 1) * 5.0, random([3, 64], 2) * 5.0);
        let ids = Tensor::<1, Int>::from_ints([3, 0, 5], &z.device());
        for divergence in ALL {
            let o = Objective { divergences: vec![Term::new(divergence)], cross_entropy: 0.1 };
            for path in [host, tensors] {
                let run = |scale| path(z.clone(), Some(t.clone()), ids.clone(), &o, scale);
                let ((sums, gradient), (same, none)) = (run(Some(0.5)), run(None));
                assert_eq!(sums, same);
                assert!(gradient.is_some() && none.is_none());
                assert!(sums.forward_kl > 0.0, "it is reported whatever is minimised");
            }
        }
    }
}
