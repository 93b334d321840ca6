//! One chunk of logits: its losses, and in place of the student's logits their gradient.
//!
//! With `lse(z) = ln Σ exp z`: `−ln q_y = lse(z) − z_y`;
//! `KL(p ‖ q) = Σ p (t − z)/τ − lse(t/τ) + lse(z/τ)`;
//! `dL/dz = w_kl τ (q_τ − p_τ) + w_ce (q − 1_y)`.

use burn::tensor::{Device, Int, Tensor};
use rayon::prelude::*;

use super::objective::{LossSums, Objective};
use crate::host::{LANES, exp, fits, give, max, sum, take, take_ints, wide};

/// The sums of a chunk and, if `scale` is given, `scale · dL/dz`.
///
/// # Shapes
///
/// - student, teacher: `[tokens, vocab]`; labels: `[tokens]`, −1 where nothing is predicted
/// - output: `[tokens, vocab]`
pub(super) fn losses(
    student: Tensor<2>,
    teacher: Option<Tensor<2>>,
    labels: Tensor<1, Int>,
    objective: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<Tensor<2>>) {
    let on_host = fits(&student) && teacher.as_ref().is_none_or(fits);
    if on_host {
        host(student, teacher, labels, objective, scale)
    } else {
        tensors(student, teacher, labels, objective, scale)
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

/// The objective in the numbers that a row needs.
struct Row {
    inverse_tau: f32,
    is_plain: bool,
    forward_kl: f32,
    cross_entropy: f32,
}

impl Row {
    #[expect(clippy::cast_possible_truncation, reason = "weights, in the logits' type")]
    fn new(o: &Objective) -> Self {
        Self {
            inverse_tau: (1.0 / o.temperature) as f32,
            is_plain: (o.temperature - 1.0).abs() < f64::EPSILON,
            // τ² of the loss times 1/τ of the chain rule.
            forward_kl: (o.forward_kl * o.temperature) as f32,
            cross_entropy: o.cross_entropy as f32,
        }
    }
}

/// The largest value and the first place it stands, as transformers' argmax has it.
#[inline(always)]
fn argmax(values: &[f32]) -> (usize, f32) {
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
    let (dims @ [tokens, vocab], device) = (student.dims(), student.device());
    let mut z = take(student);
    let mut t = teacher.map(take);
    let (labels, o, scale) = (take_ints(labels), Row::new(objective), scale.map(|s| s as f32));
    let mut sums = vec![LossSums::default(); tokens];
    let rows = sums.par_iter_mut().zip(z.par_chunks_mut(vocab)).zip(&labels);
    match &mut t {
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
    (total, scale.map(|_| give(z, dims, &device)))
}

/// The same as tensor operations, for devices whose memory is not ours.
///
/// A row's numbers are summed on the host, in f64 and in their order: the sum of a whole tensor is a race of
/// atomic additions on a GPU, and a run would not give the same bits twice.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn tensors(
    student: Tensor<2>,
    teacher: Option<Tensor<2>>,
    labels: Tensor<1, Int>,
    o: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<Tensor<2>>) {
    use burn::tensor::DType::F32;
    use burn::tensor::activation::log_softmax;
    let ([tokens, vocab], device): (_, Device) = (student.dims(), student.device());
    let dtype = student.dtype();
    let z = student.cast(F32);
    let log_q = log_softmax(z.clone(), 1);
    let predicted = labels.clone().greater_equal_elem(0).float().cast(F32).unsqueeze_dim::<2>(1);
    let at_label = labels.clamp_min(0).unsqueeze_dim::<2>(1);
    let mut columns = vec![predicted.clone(), log_q.clone().gather(1, at_label.clone()).neg()];
    let mut gradient = Tensor::<2>::zeros([tokens, vocab], &device);
    if let Some(t) = teacher {
        let t = t.cast(F32);
        let same = z.clone().argmax(1).equal(t.clone().argmax(1));
        let log_p_plain = log_softmax(t.clone(), 1);
        let log_p = log_softmax(t / o.temperature, 1);
        let log_q_tau = log_softmax(z / o.temperature, 1);
        let p = log_p.clone().exp();
        columns.push((p.clone() * (log_p - log_q_tau.clone())).sum_dim(1));
        columns.push(same.float().cast(F32));
        columns.push(log_p_plain.gather(1, at_label.clone()).neg());
        gradient = (log_q_tau.exp() - p) * (o.forward_kl * o.temperature);
    }
    let gradient = scale.map(|scale| {
        let one_hot = at_label.equal(Tensor::arange(0..vocab as i64, &device).unsqueeze_dim(0));
        let ce = (log_q.exp() - one_hot.float().cast(F32)) * o.cross_entropy;
        ((gradient + ce) * (predicted * scale)).cast(dtype)
    });
    let width = columns.len();
    let mut totals = [0.0; 5];
    for row in take(Tensor::cat(columns, 1)).chunks(width).filter(|row| row[0] > 0.0) {
        totals.iter_mut().zip(row).for_each(|(total, value)| *total += f64::from(*value));
    }
    let [tokens, cross_entropy, forward_kl, agreed, teacher_cross_entropy] = totals;
    let (tokens, agreed) = (tokens as u64, agreed as u64);
    (LossSums { tokens, cross_entropy, forward_kl, agreed, teacher_cross_entropy }, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};

    /// The definitions, in f64 and in loops: (cross-entropy, KL, dL/dz).
    fn reference(z: &[f32], t: &[f32], label: usize, o: &Objective) -> (f64, f64, Vec<f64>) {
        let softmax = |x: &[f32], tau: f64| {
            let e: Vec<f64> = x.iter().map(|x| (f64::from(*x) / tau).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.into_iter().map(|e| e / sum).collect::<Vec<_>>()
        };
        let (q, q_tau, p) = (softmax(z, 1.0), softmax(z, o.temperature), softmax(t, o.temperature));
        let kl = p.iter().zip(&q_tau).map(|(p, q)| p * (p / q).ln()).sum();
        let gradient = (0..z.len())
            .map(|i| {
                let hot = if i == label { 1.0 } else { 0.0 };
                o.forward_kl * o.temperature * (q_tau[i] - p[i]) + o.cross_entropy * (q[i] - hot)
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
            let o = Objective { forward_kl: kl, temperature: tau, cross_entropy: ce };
            let (z, t) = (take(student.clone()), take(teacher.clone()));
            #[expect(clippy::cast_possible_truncation, reason = "the type of what is compared")]
            let rounded = |g: &f64| (g * 0.25) as f32;
            let mut expected = (0.0, 0.0, Vec::new());
            for (i, label) in labels.iter().enumerate() {
                let rows = i * 37..(i + 1) * 37;
                let (e, k, g) = reference(&z[rows.clone()], &t[rows], *label as usize, &o);
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
        let o = Objective { forward_kl: 0.5, temperature: 1.0, cross_entropy: 0.5 };
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
}
