//! A chunk of logits as tensor operations, for devices whose memory is not ours.
//!
//! A row's numbers are summed on the host, in f64 and in their order: the sum of a whole tensor is a race of
//! atomic additions on a GPU, and a run would not give the same bits twice.

use burn::tensor::DType::F32;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};

use super::divergence::Divergence;
use super::objective::{LossSums, Objective};
use crate::host::take;

/// The sums of a chunk and, if `scale` is given, `scale · dL/dz`.
///
/// # Shapes
///
/// - student, teacher: `[tokens, vocab]`; labels: `[tokens]`, −1 where nothing is predicted
/// - output: `[tokens, vocab]`
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
pub(super) fn losses(
    student: Tensor<2>,
    teacher: Option<Tensor<2>>,
    labels: Tensor<1, Int>,
    o: &Objective,
    scale: Option<f64>,
) -> (LossSums, Option<Tensor<2>>) {
    let ([tokens, vocab], device): (_, Device) = (student.dims(), student.device());
    let dtype = student.dtype();
    let z = student.cast(F32);
    let log_q = log_softmax(z.clone(), 1);
    let predicted = labels.clone().greater_equal_elem(0).float().cast(F32).unsqueeze_dim::<2>(1);
    let at_label = labels.clamp_min(0).unsqueeze_dim::<2>(1);
    let mut columns = vec![predicted.clone(), log_q.clone().gather(1, at_label.clone()).neg()];
    let mut gradient = Tensor::<2>::zeros([tokens, vocab], &device);
    let others: Vec<_> = o.others().collect();
    if let Some(t) = teacher {
        let t = t.cast(F32);
        let same = z.clone().argmax(1).equal(t.clone().argmax(1));
        let log_p_plain = log_softmax(t.clone(), 1);
        let kl = o.forward_kl_term();
        let logs = |temperature: f64| {
            let of = |x: &Tensor<2>| log_softmax(x.clone() / temperature, 1);
            (of(&t), of(&z))
        };
        let (log_p, log_q_tau) = logs(kl.temperature);
        let p = log_p.clone().exp();
        columns.push((p.clone() * (log_p - log_q_tau.clone())).sum_dim(1));
        columns.push(same.float().cast(F32));
        columns.push(log_p_plain.gather(1, at_label.clone()).neg());
        gradient = (log_q_tau.exp() - p) * kl.slope();
        for term in &others {
            let (log_p, log_q) = logs(term.temperature);
            let (value, pull) = cells(term.divergence, log_p, log_q.clone());
            columns.push(value.sum_dim(1));
            gradient = gradient + (pull.clone() - log_q.exp() * pull.sum_dim(1)) * term.slope();
        }
    }
    let gradient = scale.map(|scale| {
        let one_hot = at_label.equal(Tensor::arange(0..vocab as i64, &device).unsqueeze_dim(0));
        let ce = (log_q.exp() - one_hot.float().cast(F32)) * o.cross_entropy;
        ((gradient + ce) * (predicted * scale)).cast(dtype)
    });
    let width = columns.len();
    let mut totals = vec![0.0; 5 + others.len()];
    for row in take(Tensor::cat(columns, 1)).chunks(width).filter(|row| row[0] > 0.0) {
        totals.iter_mut().zip(row).for_each(|(total, value)| *total += f64::from(*value));
    }
    let mut sums = LossSums {
        tokens: totals[0] as u64,
        cross_entropy: totals[1],
        forward_kl: totals[2],
        agreed: totals[3] as u64,
        teacher_cross_entropy: totals[4],
        ..LossSums::default()
    };
    for (term, total) in others.iter().zip(&totals[5..]) {
        *sums.of_mut(term.divergence) = *total;
    }
    (sums, gradient)
}

/// The values and the pulls of all cells: [`divergence`](super::divergence), as tensor operations.
///
/// # Shapes
///
/// - log_p, log_q, output: `[tokens, vocab]`
fn cells(divergence: Divergence, log_p: Tensor<2>, log_q: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let (p, q) = (log_p.clone().exp(), log_q.clone().exp());
    let floor = f32::MIN_POSITIVE;
    match divergence {
        Divergence::ForwardKl => (p.clone() * (log_p - log_q), p.neg()),
        Divergence::ReverseKl => {
            let value = q * (log_q - log_p);
            (value.clone(), value)
        }
        Divergence::JensenShannon { beta } => {
            let log_m = (p.clone() * beta + q.clone() * (1.0 - beta)).clamp_min(floor).log();
            let pull = q * (log_q - log_m.clone()) * (1.0 - beta);
            (p * (log_p - log_m) * beta + pull.clone(), pull)
        }
        Divergence::SkewForwardKl { alpha } => {
            let m = (p.clone() * alpha + q.clone() * (1.0 - alpha)).clamp_min(floor);
            (p.clone() * (log_p - m.clone().log()), p * (q / m) * (alpha - 1.0))
        }
        Divergence::SkewReverseKl { alpha } => {
            let m = (q.clone() * alpha + p * (1.0 - alpha)).clamp_min(floor);
            let value = q.clone() * (log_q - m.clone().log());
            (value.clone(), value - q.clone() * (q / m) * alpha)
        }
        Divergence::TotalVariation => {
            let gap = q.clone() - p;
            (gap.clone().abs() * 0.5, gap.sign() * q * 0.5)
        }
        Divergence::AdaptiveKl { head } => {
            let share = head_share(&p, &q, head);
            let forward = p * share.clone();
            let reverse = q * (log_q.clone() - log_p.clone()) * (share.neg() + 1.0);
            (forward.clone() * (log_p - log_q) + reverse.clone(), reverse - forward)
        }
        Divergence::LogitMse => {
            let [_, vocab] = p.dims();
            let gap = log_q - log_p;
            let gap = gap.clone() - gap.mean_dim(1);
            let weight = 1.0 / vocab as f64;
            (gap.clone().powi_scalar(2) * weight, gap * (2.0 * weight))
        }
    }
}

/// The share of `Σ |p − q|` that lies in the fewest words with a mass of `head`.
///
/// # Shapes
///
/// - p, q: `[tokens, vocab]`, output: `[tokens, 1]`
fn head_share(p: &Tensor<2>, q: &Tensor<2>, head: f64) -> Tensor<2> {
    let [_, vocab] = p.dims();
    let sorted = p.clone().sort_descending(1);
    let before = sorted.clone().cumsum(1).lower_elem(head).int().sum_dim(1);
    let last = sorted.gather(1, before.clamp_max(vocab as i64 - 1));
    let gap = (p.clone() - q.clone()).abs();
    let inside = gap.clone() * p.clone().greater_equal(last).float().cast(F32);
    // Where nothing differs the share does not matter; it must be a number all the same.
    inside.sum_dim(1) / gap.sum_dim(1).clamp_min(f32::MIN_POSITIVE)
}
