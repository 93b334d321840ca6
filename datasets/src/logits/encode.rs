//! Floats to integers: what is kept of a sample, and how it is stored.

use std::sync::Arc;

use super::code::{from_steps, to_steps};
use super::error::SampleFault;
use super::profile::Keep;
use super::stored::{List, Row};
use super::{Drawn, Profile, Scored, ValueCode};

impl Row {
    /// Encodes a sample that has been checked.
    pub(super) fn encode(
        scored: &Scored,
        profile: &Profile,
        vocab_size: u32,
    ) -> Result<Self, (Option<usize>, SampleFault)> {
        let k = match profile.keep {
            Keep::Top { k } => k.min(vocab_size),
            Keep::Mass { .. } | Keep::Sampled { .. } => 0,
        };
        let (id, source) = (scored.id, Arc::clone(&scored.source));
        let mut row = Self { id, source, k, lists: Default::default() };
        row.lists[List::Tokens as usize].clone_from(&scored.tokens);
        for position in 0..scored.num_positions() {
            let (ids, log_probs) = scored.entries(position);
            let kept = kept(profile, log_probs, vocab_size)
                .map_err(|expected| SampleFault::TooFew { expected, found: ids.len() })
                .map_err(|fault| (Some(position), fault))?;
            if k == 0 {
                row.push(List::Counts, u32::try_from(kept).unwrap_or(u32::MAX));
            }
            row.lists[List::Ids as usize].extend_from_slice(&ids[..kept]);
            let drawn = scored.drawn.get(position).copied();
            let head = kept - drawn.map_or(0, |drawn| drawn.count as usize).min(kept);
            row.push_values(&log_probs[..kept], head, profile.values);
            // A cell of its own: what is cut off goes to it, and nothing is renormalised.
            let tail = f64::from(scored.tail[position]).exp()
                + log_probs[kept..].iter().map(|log| f64::from(*log).exp()).sum::<f64>();
            row.push(List::Tail, to_steps(tail.ln()));
            if let Some(Drawn { count, log_tau }) = drawn {
                row.push(List::Tau, to_steps(f64::from(log_tau)));
                row.push(List::Drawn, count);
            }
        }
        let label = scored.label.iter().map(|log| to_steps(f64::from(*log)));
        row.lists[List::Label as usize].extend(label);
        // A log-partition is not below zero: of softened probabilities the sum is more than one.
        let log_z = scored.log_z.iter().map(|log| to_steps(-f64::from(*log)));
        row.lists[List::LogZ as usize].extend(log_z);
        Ok(row)
    }

    fn push_values(&mut self, log_probs: &[f32], head: usize, values: ValueCode) {
        let first = to_steps(f64::from(log_probs[0]));
        self.push(List::First, first);
        // From the first entry as it is stored, so that its rounding is not everyone's.
        let stored = f64::from(from_steps(first));
        let mut before = 0;
        for (rank, log_prob) in log_probs.iter().enumerate().skip(1) {
            let code =
                if rank < head { values.code(stored - f64::from(*log_prob)) } else { before };
            // The first entry may be rounded below the second, of which the code is then 0.
            let code = code.max(before);
            self.push(List::Codes, code - before);
            before = code;
        }
    }
}

/// How many entries of a position are kept; how many would be needed, if there are not enough.
fn kept(profile: &Profile, log_probs: &[f32], vocab_size: u32) -> Result<usize, usize> {
    let most = profile.most().min(vocab_size) as usize;
    let given = log_probs.len();
    match profile.keep {
        Keep::Top { .. } => (given >= most).then_some(most).ok_or(most),
        Keep::Sampled { .. } => Ok(given),
        Keep::Mass { p, .. } => {
            let mut mass = 0.0;
            let enough = log_probs.iter().take(most).position(|log| {
                mass += f64::from(*log).exp();
                mass >= p
            });
            match enough {
                Some(last) => Ok(last + 1),
                None => (given >= most).then_some(most).ok_or(most),
            }
        }
    }
}
