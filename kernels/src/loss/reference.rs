//! The divergences by their definitions, in f64 and in loops, of the masses of cells.

use super::divergence::Divergence;

/// Every one, with its constants in their ranges and at their ends.
pub(super) const ALL: [Divergence; 12] = [
    Divergence::ForwardKl,
    Divergence::ReverseKl,
    Divergence::JensenShannon { beta: 0.5 },
    Divergence::JensenShannon { beta: 0.1 },
    Divergence::SkewForwardKl { alpha: 0.1 },
    Divergence::SkewForwardKl { alpha: 0.0 },
    Divergence::SkewReverseKl { alpha: 0.1 },
    Divergence::SkewReverseKl { alpha: 0.0 },
    Divergence::TotalVariation,
    Divergence::AdaptiveKl { head: 0.5 },
    Divergence::AdaptiveKl { head: 0.9 },
    Divergence::LogitMse,
];

pub(super) fn softmax(x: &[f64], tau: f64) -> Vec<f64> {
    let e: Vec<f64> = x.iter().map(|x| (x / tau).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|e| e / sum).collect()
}

/// The divergence of `q` from `p`. The first `words` cells are of one word each. What a gradient does not go through is
/// taken from `was`, which is `q` where nothing is moved.
pub(super) fn value(d: Divergence, p: &[f64], q: &[f64], was: &[f64], words: usize) -> f64 {
    let kl = |p: &[f64], q: &[f64]| -> f64 {
        let cells = p.iter().zip(q).filter(|(p, _)| **p > 0.0);
        cells.map(|(p, q)| p * (p / q).ln()).sum()
    };
    let mix = |a: f64, p: &[f64], q: &[f64]| -> Vec<f64> {
        p.iter().zip(q).map(|(p, q)| a * p + (1.0 - a) * q).collect()
    };
    match d {
        Divergence::ForwardKl => kl(p, q),
        Divergence::ReverseKl => kl(q, p),
        Divergence::JensenShannon { beta } => {
            let m = mix(beta, p, q);
            beta * kl(p, &m) + (1.0 - beta) * kl(q, &m)
        }
        Divergence::SkewForwardKl { alpha } => kl(p, &mix(alpha, p, q)),
        Divergence::SkewReverseKl { alpha } => kl(q, &mix(alpha, q, p)),
        Divergence::TotalVariation => p.iter().zip(q).map(|(p, q)| 0.5 * (p - q).abs()).sum(),
        Divergence::AdaptiveKl { head } => {
            let mut order: Vec<usize> = (0..words).collect();
            order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
            let (mut mass, mut gaps) = (0.0, [0.0, 0.0]);
            for i in order {
                gaps[usize::from(mass >= head)] += (p[i] - was[i]).abs();
                mass += p[i];
            }
            gaps[1] += (words..p.len()).map(|i| (p[i] - was[i]).abs()).sum::<f64>();
            let share = gaps[0] / (gaps[0] + gaps[1]);
            share * kl(p, q) + (1.0 - share) * kl(q, p)
        }
        Divergence::LogitMse => {
            let gaps: Vec<f64> = (0..words).map(|i| (q[i] / p[i]).ln()).collect();
            let mean = gaps.iter().sum::<f64>() / words as f64;
            gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / words as f64
        }
    }
}
