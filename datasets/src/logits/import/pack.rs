//! Packs as DistillKit does: for tests, and to be compared with.

use super::config::{DistillKit, Float, Term};

/// Numbers of some bits, the highest first, filled up to a byte.
pub(in crate::logits) fn pack(numbers: &[u32], bits: u32) -> Vec<u8> {
    let mut text: Vec<bool> = vec![];
    for number in numbers {
        text.extend((0..bits).rev().map(|bit| number >> bit & 1 == 1));
    }
    text.chunks(8)
        .map(|byte| (0..8).fold(0, |all, n| all << 1 | u8::from(byte.get(n) == Some(&true))))
        .collect()
}

pub(in crate::logits) fn float(of: Float, x: f64) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "a test")]
    let single = x as f32;
    match of {
        Float::F64 => x.to_le_bytes().to_vec(),
        Float::F32 => single.to_le_bytes().to_vec(),
        Float::Bf16 => {
            let rounded = single.to_bits() + 0x7fff + (single.to_bits() >> 16 & 1);
            rounded.to_le_bytes()[2..].to_vec()
        }
        Float::F16 => {
            // The nearest of those that are near: single precision has 13 bits more, and other exponents.
            let raw = single.abs().to_bits();
            let near = (raw >> 13).saturating_sub(112 << 10);
            let value = |bits: u32| match bits >> 10 {
                0 => f64::from(bits & 1023) * (-24f64).exp2(),
                e => (1.0 + f64::from(bits & 1023) / 1024.0) * (f64::from(e) - 15.0).exp2(),
            };
            let all = near.saturating_sub(2)..near + 3;
            let distance = |bits: &u32| (value(*bits) - x.abs()).abs();
            let nearest = all.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
            let sign = u16::from(x < 0.0) << 15;
            (u16::try_from(nearest).unwrap() | sign).to_le_bytes().to_vec()
        }
    }
}

/// A token without residuals, its curve fitted by least squares as DistillKit fits it, in double precision.
pub(in crate::logits) fn token(
    config: &DistillKit,
    ids: &[u32],
    log_probs: &[f32],
) -> (Vec<u8>, Vec<u8>) {
    let (exact, rest) = log_probs.split_at(config.exact_k);
    let mut values: Vec<u8> =
        exact.iter().flat_map(|x| float(config.exact, f64::from(*x))).collect();
    let term = |term: &Term, t: f64| match term {
        Term::Power(power) => t.powi(*power),
        Term::Sqrt => t.sqrt(),
        Term::Exp => t.exp(),
    };
    let columns =
        config.terms.iter().map(|of| (0..rest.len()).map(|t| term(of, t as f64)).collect());
    let columns: Vec<Vec<f64>> = columns.collect();
    let y: Vec<f64> = rest.iter().map(|x| f64::from(*x)).collect();
    let fitted = least_squares(columns, y);
    values.extend(fitted.into_iter().flat_map(|x| float(config.term, x)));
    (values, pack(ids, config.id_bits()))
}

/// Least squares by orthogonal columns (Gram and Schmidt, twice, which is as good as Householder).
fn least_squares(columns: Vec<Vec<f64>>, y: Vec<f64>) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let n = columns.len();
    let (mut q, mut r) = (Vec::<Vec<f64>>::new(), vec![vec![0.0; n]; n]);
    for (j, mut column) in columns.into_iter().enumerate() {
        for _ in 0..2 {
            for (i, unit) in q.iter().enumerate() {
                let along = dot(unit, &column);
                r[i][j] += along;
                column.iter_mut().zip(unit).for_each(|(x, u)| *x -= along * u);
            }
        }
        r[j][j] = dot(&column, &column).sqrt();
        column.iter_mut().for_each(|x| *x /= r[j][j]);
        q.push(column);
    }
    let mut solution: Vec<f64> = q.iter().map(|unit| dot(unit, &y)).collect();
    for j in (0..n).rev() {
        solution[j] /= r[j][j];
        for i in 0..j {
            solution[i] -= r[i][j] * solution[j];
        }
    }
    solution
}
