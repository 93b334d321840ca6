//! Where the weights of a mixture change.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::{At, MixtureError};
use super::pattern::Pattern;
use super::weights::integers;
use super::{Change, Share};

/// A stretch of a mixture with the same weights from end to end.
#[derive(Debug, Clone)]
pub struct Stage {
    pub(super) from: u64,
    /// Sequences of each source before it.
    pub(super) before: Vec<u64>,
    pub(super) pattern: Arc<Pattern>,
}

impl Stage {
    /// Its first sequence.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The share of each source, of a sum of 1: exactly what is drawn, after any rounding.
    pub fn shares(&self) -> Vec<f64> {
        self.pattern.shares()
    }

    /// After how many sequences the pattern of sources begins anew.
    pub fn period(&self) -> u64 {
        self.pattern.period()
    }
}

/// The stages, and where the last ends.
pub(super) fn plan(
    shares: &[Share],
    schedule: &[Change],
) -> Result<(Vec<Stage>, Option<u64>), MixtureError> {
    let all_weights = weights(shares, schedule)?;
    let mut before = vec![0u64; shares.len()];
    let mut stages: Vec<Stage> = Vec::new();
    let (mut t, mut change) = (0, 0);
    loop {
        let left = |i: usize| shares[i].sequences.map(|all| all - before[i]);
        let active: Vec<f64> = (0..shares.len())
            .map(|i| if left(i) == Some(0) { 0.0 } else { all_weights[change][i] })
            .collect();
        if active.iter().all(|weight| *weight == 0.0) {
            // All that may come have ended: on to the next weights, if there are any.
            change += 1;
            if change == all_weights.len() {
                return Ok((stages, Some(t)));
            }
            continue;
        }
        let pattern = Arc::new(Pattern::new(integers(&active)));
        let numbers = (0..=u16::MAX).zip(0..shares.len());
        let ends = numbers
            .clone()
            .filter(|(_, i)| active[*i] > 0.0)
            .filter_map(|(number, i)| t.checked_add(pattern.draws_until(number, left(i)?)?));
        let next = schedule.get(change).map(|change| change.from);
        let end = ends.chain(next).min();
        stages.push(Stage { from: t, before: before.clone(), pattern: Arc::clone(&pattern) });
        let Some(end) = end else { return Ok((stages, None)) };
        for (number, i) in numbers {
            before[i] += pattern.count(number, end - t);
        }
        t = end;
        change += usize::from(next == Some(end));
    }
}

/// The weights from the beginning and after each change.
pub(super) fn weights(
    shares: &[Share],
    schedule: &[Change],
) -> Result<Vec<Vec<f64>>, MixtureError> {
    if shares.is_empty() {
        return Err(MixtureError::NoSource);
    }
    if shares.len() > usize::from(u16::MAX) {
        return Err(MixtureError::TooManySources { found: shares.len() });
    }
    let mut names = BTreeSet::new();
    for share in shares {
        if !names.insert(&share.name) {
            return Err(MixtureError::SameName { name: share.name.clone() });
        }
        if share.sequences == Some(0) {
            return Err(MixtureError::NoSequence { name: share.name.clone() });
        }
    }
    let mut now: Vec<f64> = shares.iter().map(|share| share.weight).collect();
    let mut all = vec![checked(shares, now.clone(), At::Beginning)?];
    let mut before = 0;
    for (stage, change) in schedule.iter().enumerate() {
        if change.from <= before {
            return Err(MixtureError::NotIncreasing { stage, from: change.from, before });
        }
        before = change.from;
        for (name, weight) in &change.weights {
            let Some(i) = shares.iter().position(|share| share.name == *name) else {
                let known = shares.iter().map(|share| share.name.clone()).collect();
                return Err(MixtureError::UnknownSource { stage, name: name.clone(), known });
            };
            now[i] = *weight;
        }
        all.push(checked(shares, now.clone(), At::Stage(stage))?);
    }
    for (i, share) in shares.iter().enumerate() {
        if all.iter().all(|weights| weights[i] == 0.0) {
            return Err(MixtureError::NeverUsed { name: share.name.clone() });
        }
    }
    Ok(all)
}

fn checked(shares: &[Share], mut weights: Vec<f64>, at: At) -> Result<Vec<f64>, MixtureError> {
    for (share, weight) in shares.iter().zip(&mut weights) {
        if !weight.is_finite() || *weight < 0.0 {
            return Err(MixtureError::BadWeight { name: share.name.clone(), at, weight: *weight });
        }
        // Not the one with a sign, which has a digit less.
        *weight += 0.0;
    }
    if weights.iter().all(|weight| *weight == 0.0) {
        return Err(MixtureError::AllZero { at });
    }
    Ok(weights)
}
