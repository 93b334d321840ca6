//! What one process of many reads: every so-manyth sequence of the one order, as a digest.

use std::str::FromStr;

use datasets::loader::Sequence;
use datasets::shard::Layout;
use datasets::store::Hasher;
use serde::Serialize;

use super::data::Experiment;
use super::measure::{loader, settings};
use crate::error::Error;

/// Part `index` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which, from 0.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, of)| {
            Some(Self { index: index.parse().ok()?, of: of.parse().ok()? })
        });
        let wrong = || format!("`{text}` is not a part, such as 0/2");
        parts.filter(|part| part.index < part.of).ok_or_else(wrong)
    }
}

/// The digests of a part's sequences, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    /// By sequence: its index in the one order, and the digest of its tokens and starts.
    pub sequences: Vec<(u64, String)>,
}

impl Experiment {
    /// Reads a part of an epoch.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn part(&self, part: Part) -> Result<Read, Error> {
        let scratch = self.out.join(format!("part-{}", std::process::id()));
        let shards = self.documents()?.write(&scratch, Layout::default())?;
        let loader = loader(&shards, &settings(&shards, self.seq_tokens))?;
        let total: u64 = loader.sequences_per_epoch().iter().sum();
        let mut sequence = Sequence::default();
        let mut sequences = Vec::new();
        let mut index = part.index;
        while index < total {
            loader.fill(index, &mut sequence)?;
            let mut hasher = Hasher::new();
            sequence.tokens.iter().chain(&sequence.starts).for_each(|n| {
                hasher.update(&n.to_le_bytes());
            });
            sequences.push((index, hasher.digest().to_string()));
            index += part.of;
        }
        drop((loader, shards));
        std::fs::remove_dir_all(&scratch).map_err(Error::io(&scratch, "remove"))?;
        Ok(Read { sequences })
    }
}
