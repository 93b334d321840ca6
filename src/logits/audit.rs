//! What is lost with what a cache does not keep (verification, level 4).
//!
//! With the K most probable words and one cell for the rest, a student is taught all of the divergence but that within
//! the rest: `KL(p ‖ q) = KL over the K + 1 cells + t · KL(p_rest ‖ q_rest)`, `t` being the mass of the rest. Of a student
//! that knows nothing of how the rest is shared, which spreads it evenly, that is
//!
//! ```text
//! lost(K) = Σ over the rest of p ln(p (vocab − K) / t)
//! ```
//!
//! and no student of whom more is known loses as much on average. The K that is recommended is the smallest at which it is
//! at most [`ALLOWED`].

use datasets::logits::{Cache, Finding, LogitError};
use serde::Serialize;

use super::replay::live;
use super::score::Scorer;

/// Nats a token that may be lost.
pub const ALLOWED: f64 = 0.01;

/// What a K keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// Words a token.
    pub k: usize,
    /// The mean of their mass.
    pub mass: f64,
    /// The mean of what is lost with the rest, in nats.
    pub lost: f64,
}

/// What each K keeps of the first `count` samples by their names: powers of two, and the whole vocabulary.
///
/// # Errors
/// [`LogitError`] if a sample cannot be read from the cache.
pub fn audit(cache: &Cache, scorer: &Scorer, count: usize) -> Result<Vec<Cut>, LogitError> {
    let mut ids: Vec<_> = cache.entries().map(|entry| entry.id).collect();
    ids.sort_unstable();
    ids.truncate(count);
    let vocab = scorer.vocab_size as usize;
    let ks = std::iter::successors(Some(1), |k| Some(k * 2)).take_while(|k| *k < vocab);
    let mut cuts: Vec<Cut> = ks.map(|k| Cut { k, mass: 0.0, lost: 0.0 }).collect();
    let mut positions = 0u32;
    for id in ids {
        let sample = cache.read(&[id], None)?.remove(0);
        for mut row in live(scorer, &sample, false) {
            positions += 1;
            row.sort_by(|a, b| b.total_cmp(a));
            add(&row, &mut cuts);
        }
    }
    for cut in &mut cuts {
        cut.mass /= f64::from(positions.max(1));
        cut.lost /= f64::from(positions.max(1));
    }
    cuts.push(Cut { k: vocab, mass: 1.0, lost: 0.0 });
    Ok(cuts)
}

/// Adds a row, sorted.
fn add(row: &[f32], cuts: &mut [Cut]) {
    for cut in cuts {
        let (head, rest) = row.split_at(cut.k);
        cut.mass += head.iter().map(|log| f64::from(*log).exp()).sum::<f64>();
        let mass = rest.iter().map(|log| f64::from(*log).exp()).sum::<f64>();
        if mass > 0.0 {
            let even = (mass / rest.len() as f64).ln();
            let of = |log: &f32| f64::from(*log).exp() * (f64::from(*log) - even);
            cut.lost += rest.iter().filter(|log| log.is_finite()).map(of).sum::<f64>();
        }
    }
}

/// The smallest K that loses no more than is allowed.
pub fn recommended(cuts: &[Cut]) -> Option<usize> {
    cuts.iter().find(|cut| cut.lost <= ALLOWED).map(|cut| cut.k)
}

/// As verification says it.
pub fn findings(cuts: &[Cut], cache: &Cache) -> Vec<Finding> {
    let stored = cache.shards().map(|(_, added)| added.profile.most()).max().unwrap_or(0);
    let line = |cut: &Cut| {
        format!("K {}: {:.2}% of the mass, {:.4} nats lost", cut.k, 100.0 * cut.mass, cut.lost)
    };
    let each: Vec<String> = cuts.iter().map(line).collect();
    let recommended = recommended(cuts).map_or_else(String::new, |k| {
        format!("; K {k} is enough, for at most {ALLOWED} nats; stored are {stored}")
    });
    let what = format!("{}{recommended}", each.join("; "));
    vec![Finding { level: 4, is_damage: false, path: cache.path().to_owned(), what }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_rest_loses_nothing_and_one_word_in_it_loses_its_logarithm() {
        let mut cuts = [Cut { k: 1, mass: 0.0, lost: 0.0 }];
        let even = [0.5f32, 0.125, 0.125, 0.125, 0.125].map(f32::ln);
        add(&even, &mut cuts);
        assert!((cuts[0].mass - 0.5).abs() < 1e-6 && cuts[0].lost.abs() < 1e-6, "{cuts:?}");
        let mut cuts = [Cut { k: 1, mass: 0.0, lost: 0.0 }];
        let one =
            [0.5f32.ln(), 0.5f32.ln(), f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
        add(&one, &mut cuts);
        // All of it on one of four: ln 4, of half the mass.
        assert!((cuts[0].lost - 0.5 * 4f64.ln()).abs() < 1e-6, "{cuts:?}");
    }

    #[test]
    fn the_smallest_k_that_is_good_enough_is_recommended() {
        let cut = |k, lost| Cut { k, mass: 0.9, lost };
        assert_eq!(recommended(&[cut(1, 0.5), cut(2, 0.02), cut(4, 0.01), cut(8, 0.0)]), Some(4));
        assert_eq!(recommended(&[cut(1, 0.5)]), None);
    }
}
