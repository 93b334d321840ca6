//! How many bins each row group fills under best-fit packing.
//!
//! Documents are packed row group by row group ([`best_fit`]), so that the number of bins does not depend on an epoch's
//! order, and which row group a sequence is in is a binary search. The counts need every document's length, once; they
//! may be kept: a plan knows which data, bins and tokens around documents it is for.

use serde::{Deserialize, Serialize};

use super::{Groups, LoadError};
use crate::pack::best_fit;

const VERSION: u32 = 1;

/// The bins of a source's row groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackPlan {
    version: u32,
    /// The digest of the data.
    pub digest: String,
    /// Tokens that a sequence predicts: a bin has one more.
    pub seq_tokens: u32,
    /// Tokens put around each document.
    pub around: u32,
    /// The bins of each row group.
    pub bins: Vec<u32>,
    /// The tokens of all documents, those around them included.
    pub tokens: u64,
}

impl PackPlan {
    /// Reads the lengths of all documents.
    pub(super) fn new(
        name: &str,
        groups: &dyn Groups,
        seq_tokens: u32,
        around: u32,
    ) -> Result<Self, LoadError> {
        let (mut bins, mut tokens) = (Vec::with_capacity(groups.sizes().len()), 0u64);
        for (group, size) in groups.sizes().iter().enumerate() {
            let lengths =
                groups.lengths(group).map_err(|source| LoadError::read(name, group, source))?;
            let found = lengths.len() as u64;
            let changed = |what, expected, found| LoadError::Changed {
                name: name.to_owned(),
                group,
                what,
                expected,
                found,
            };
            if found != size.rows {
                return Err(changed("rows", size.rows, found));
            }
            let sum: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
            if sum != size.tokens {
                return Err(changed("tokens", size.tokens, sum));
            }
            tokens += sum + u64::from(around) * found;
            let whole = lengths.into_iter().map(|length| length.saturating_add(around));
            let of_group = best_fit(whole, seq_tokens + 1).len();
            bins.push(u32::try_from(of_group).expect("a row group has fewer than 2^32 pieces"));
        }
        Ok(Self { version: VERSION, digest: groups.digest(), seq_tokens, around, bins, tokens })
    }

    /// Whether it is for this data and these settings.
    pub(super) fn fits(&self, groups: &dyn Groups, seq_tokens: u32, around: u32) -> bool {
        self.version == VERSION
            && (self.seq_tokens, self.around) == (seq_tokens, around)
            && self.bins.len() == groups.sizes().len()
            && self.digest == groups.digest()
    }

    /// The part of the sequences of an epoch that is padding.
    pub fn padding(&self) -> f64 {
        let bins: u64 = self.bins.iter().map(|bins| u64::from(*bins)).sum();
        let room = bins as f64 * (f64::from(self.seq_tokens) + 1.0);
        if bins == 0 { 0.0 } else { 1.0 - self.tokens as f64 / room }
    }
}
