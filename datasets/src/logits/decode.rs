//! Integers to floats: what the reader gives.

use std::iter;
use std::sync::Arc;

use super::code::{Table, from_steps};
use super::error::RowFault;
use super::stored::{List, RowRef};
use super::{Drawn, Scored, ValueCode};

impl RowRef<'_> {
    /// The floats. Its shape must have been checked. With `k`, the `k` most probable of each position, which are fewer
    /// than there are: the mass of the others goes to the tail.
    pub(super) fn decode(
        &self,
        values: ValueCode,
        table: &Table,
        k: Option<u32>,
    ) -> Result<Scored, RowFault> {
        let positions = self.num_positions();
        let entries: usize =
            self.counts().map(|count| k.map_or(count, |k| k.min(count)) as usize).sum();
        let mut scored = Scored {
            id: self.id,
            source: Arc::clone(self.source),
            tokens: self.list(List::Tokens).to_vec(),
            bounds: Vec::with_capacity(positions + 1),
            ids: Vec::with_capacity(entries),
            log_probs: vec![0.0; entries],
            tail: self.list(List::Tail).iter().map(|steps| from_steps(*steps)).collect(),
            label: self.list(List::Label).iter().map(|steps| from_steps(*steps)).collect(),
            log_z: self.list(List::LogZ).iter().map(|steps| -from_steps(*steps)).collect(),
            drawn: iter::zip(self.list(List::Drawn), self.list(List::Tau))
                .map(|(count, tau)| Drawn { count: *count, log_tau: from_steps(*tau) })
                .collect(),
        };
        scored.bounds.push(0);
        let mut all = (self.list(List::Ids), self.list(List::Codes));
        let (mut at, mut whole) = (0, vec![]);
        for (position, count) in self.counts().enumerate() {
            let (ids, steps);
            (ids, all.0) = all.0.split_at(count as usize);
            (steps, all.1) = all.1.split_at(count as usize - 1);
            let kept = k.map_or(count, |k| k.min(count)) as usize;
            let first = from_steps(self.list(List::First)[position]);
            let out = &mut scored.log_probs[at..at + kept];
            if kept == ids.len() {
                if !descend(first, steps, values, table, out) {
                    return Err(RowFault::Code { position, levels: values.levels() });
                }
                if let Some(drawn) = scored.drawn.get(position) {
                    out[kept - drawn.count as usize..].fill(drawn.log_tau);
                }
            } else {
                whole.resize(ids.len(), 0.0);
                if !descend(first, steps, values, table, &mut whole) {
                    return Err(RowFault::Code { position, levels: values.levels() });
                }
                out.copy_from_slice(&whole[..kept]);
                let tail = &mut scored.tail[position];
                *tail = joined(*tail, &whole[kept..]);
            }
            scored.ids.extend_from_slice(&ids[..kept]);
            at += kept;
            scored.bounds.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        Ok(scored)
    }
}

/// Log-probabilities out of differences of codes; whether all codes are in range.
fn descend(first: f32, steps: &[u32], values: ValueCode, table: &Table, out: &mut [f32]) -> bool {
    let Some((head, rest)) = out.split_first_mut() else { return false };
    *head = first;
    let mut code = 0_u32;
    match values {
        ValueCode::Sqrt8 => {
            for (out, step) in iter::zip(rest, steps) {
                code = code.saturating_add(*step);
                *out = first - table[code.min(255) as usize];
            }
        }
        ValueCode::Fixed16 => {
            for (out, step) in iter::zip(rest, steps) {
                code = code.saturating_add(*step);
                // At most 65,535: an f32 holds it.
                *out = first - code.min(65_535) as f32 / 2048.0;
            }
        }
    }
    code <= values.levels()
}

/// The logarithm of a mass, and that of some entries.
#[expect(clippy::cast_possible_truncation, reason = "a logarithm of single precision")]
fn joined(tail: f32, dropped: &[f32]) -> f32 {
    let mass = dropped.iter().map(|log| f64::from(*log).exp()).sum::<f64>();
    (f64::from(tail).exp() + mass).ln().min(0.0) as f32
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
