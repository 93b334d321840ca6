//! The samples of a run's text by their names in a cache, and which of them it lacks: the ledger's difference.

use std::collections::HashSet;
use std::path::Path;

use dataflows::ledger::{self, Coverage, Ledger};
use datasets::TokenLists;
use datasets::logits::{Cache, Identity};
use datasets::shard::SampleId;

use super::super::sources::Opened;
use crate::error::Error;

/// A sample, where it lies among the token shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in a cache.
    pub id: SampleId,
    /// Its tokens, with those around the text.
    pub tokens: u32,
    /// Its source.
    pub source: u32,
    /// Its shard there.
    pub shard: u32,
    /// Its row group.
    pub row_group: u32,
    /// Its row.
    pub row: u32,
}

/// A document with the tokens around it, as a teacher reads it.
pub fn whole(bos: Option<u32>, text: &[u32], eos: Option<u32>, into: &mut Vec<u32>) {
    into.clear();
    into.extend(bos);
    into.extend_from_slice(text);
    into.extend(eos);
}

/// Every sample of the sources in which something is predicted, in their order. All of their tokens are read, once.
///
/// # Errors
/// [`Error::Shard`] if a shard cannot be read.
pub fn wanted(
    sources: &[Opened],
    identity: &Identity,
    bos: Option<u32>,
    eos: Option<u32>,
) -> Result<Vec<Wanted>, Error> {
    let (names, number) = (identity.names(), |n: usize| u32::try_from(n).unwrap_or(u32::MAX));
    let (mut all, mut lists, mut tokens) = (Vec::new(), TokenLists::default(), Vec::new());
    for (source, (_, shards)) in sources.iter().enumerate() {
        for shard in 0..shards.len() {
            for row_group in 0..shards.num_row_groups(shard) {
                lists.clear();
                shards.read_tokens(shard, row_group, &mut lists)?;
                for row in 0..lists.len() {
                    whole(bos, lists.get(row), eos, &mut tokens);
                    if tokens.len() > 1 {
                        all.push(Wanted {
                            id: names.of(&tokens),
                            tokens: number(tokens.len()),
                            source: number(source),
                            shard: number(shard),
                            row_group: number(row_group),
                            row: number(row),
                        });
                    }
                }
            }
        }
    }
    Ok(all)
}

/// What is wanted beside what is cached.
pub struct Balance {
    /// The samples that are missing, each once, in the order of the text.
    pub missing: Vec<Wanted>,
    /// By source.
    pub coverage: Vec<(String, Coverage)>,
}

impl Balance {
    /// Strikes the balance; without a cache all is missing.
    ///
    /// # Errors
    /// [`Error::Ledger`] if two samples of one name have two lengths.
    pub fn of(wanted: &[Wanted], sources: &[Opened], cache: Option<&Cache>) -> Result<Self, Error> {
        let key = |id: SampleId| u128::from_be_bytes(id.0);
        let mut ledger = Ledger::new();
        let facts = wanted.iter().map(|Wanted { id, source, tokens, .. }| ledger::Wanted {
            id: key(*id),
            source: *source,
            tokens: *tokens,
        });
        ledger.want(facts)?;
        if let Some(cache) = cache {
            let mut shards: Vec<Vec<u128>> = vec![Vec::new(); cache.shards().len()];
            cache.entries().for_each(|entry| shards[entry.shard].push(key(entry.id)));
            for (shard, samples) in (0u32..).zip(shards) {
                ledger.add_shard(shard, samples)?;
            }
        }
        let mut missing: HashSet<u128> = ledger.update().capture.into_iter().collect();
        let first = wanted.iter().filter(|sample| missing.remove(&key(sample.id)));
        let missing = first.copied().collect();
        let coverage = ledger.coverage().iter().map(|(source, coverage)| {
            let name =
                sources.get(*source as usize).map_or_else(String::new, |(name, _)| name.clone());
            (name, *coverage)
        });
        Ok(Self { missing, coverage: coverage.collect() })
    }

    /// Refuses a cache that lacks samples.
    ///
    /// # Errors
    /// [`Error::NotCached`] with how many of which source.
    pub fn require_whole(&self, path: &Path) -> Result<(), Error> {
        let lacks = |(name, c): &(String, Coverage)| (name.clone(), c.wanted - c.covered);
        let sources: Vec<_> = self.coverage.iter().map(lacks).filter(|(_, n)| *n > 0).collect();
        if sources.is_empty() {
            return Ok(());
        }
        let wanted = self.coverage.iter().map(|(_, coverage)| coverage.wanted).sum();
        let missing = sources.iter().map(|(_, n)| n).sum();
        Err(Error::NotCached { path: path.to_owned(), missing, wanted, sources })
    }
}
