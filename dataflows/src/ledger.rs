//! The ledger: which samples still lack logits, as differential collections.
//!
//! ```text
//!  wanted  (sample, source, tokens) ---.                     .--> missing  ---> capture
//!                                       >--(+)--> by sample --+--> unwanted ---> garbage
//!  cached  (sample, shard) ------------'                     |--> serving ---> live, and so dead, shards
//!                                                             '--> by source --> coverage
//! ```
//!
//! One arrangement, by sample, holds who wants it and which shards have it; one reduction says of each sample what follows.
//! All views are therefore of the same time, and a change costs the samples it touches: to add a corpus that overlaps
//! by half captures the other half; a lost file brings back its own samples and no others.
//!
//! The teacher and the fidelity are the ledger's name, not part of a sample's: another teacher is another ledger. Shards
//! whose entries are too few for what is wanted are simply not told of. Nothing is persisted: what is wanted is known from
//! the token data, what is cached from the cache's log, and the views are made again from them.
//!
//! # What follows for a sample
//!
//! - wanted and in no shard: it is *missing*;
//! - in a shard and not wanted: it is *garbage*;
//! - both: the first of its shards, by number, *serves* it. A shard that serves no sample is *dead*: its file may go.
//! - each source that wants it counts it as wanted, and as covered if it is served.

mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use differential_dataflow::consolidation::consolidate;
use thiserror::Error;
use view::{Fact, Views};

/// A sample that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name: a hash of its content.
    pub id: u128,
    /// The source that wants it.
    pub source: u32,
    /// How many tokens it has.
    pub tokens: u32,
}

/// What a source wants, and what of it there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Samples that are wanted.
    pub wanted: u64,
    /// Their tokens.
    pub wanted_tokens: u64,
    /// Of them those that are served.
    pub covered: u64,
    /// Their tokens.
    pub covered_tokens: u64,
}

/// A change that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// The shard is there.
    #[error("shard {shard} is in the ledger already")]
    Present {
        /// Its number.
        shard: u32,
    },
    /// The shard is not there.
    #[error("shard {shard} is not in the ledger")]
    Absent {
        /// Its number.
        shard: u32,
    },
    /// What is not wanted cannot be given up.
    #[error("sample {id:032x} is not wanted by source {source_number}")]
    NotWanted {
        /// The sample.
        id: u128,
        /// The source.
        source_number: u32,
    },
    /// A sample that a source wants with two lengths: one content has one length.
    #[error("sample {id:032x} has {found} tokens, expected {expected}")]
    OtherLength {
        /// The sample.
        id: u128,
        /// As it is wanted.
        expected: u32,
        /// As it is said now.
        found: u32,
    },
}

/// What an update changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Samples that are missing now and were not before, in order.
    pub capture: Vec<u128>,
    /// Samples that were missing and are not now, in order.
    pub settled: Vec<u128>,
    /// How many samples the update looked at: what it cost.
    pub touched: u64,
}

/// What is wanted and what is cached, and the views of them.
///
/// It runs in the thread that made it, and works only in [`update`](Ledger::update).
///
/// # Examples
/// ```
/// use dataflows::ledger::{Ledger, Wanted};
///
/// let mut ledger = Ledger::new();
/// let wanted = |id| Wanted { id, source: 0, tokens: 10 };
/// ledger.want([wanted(1), wanted(2), wanted(3)])?;
/// ledger.add_shard(0, vec![1, 9])?;
/// assert_eq!(ledger.update().capture, [2, 3]);
/// assert_eq!(ledger.garbage(), 1); // 9
///
/// ledger.remove_shard(0)?; // its file was lost
/// assert_eq!(ledger.update().capture, [1]);
/// # Ok::<_, dataflows::ledger::LedgerError>(())
/// ```
pub struct Ledger {
    views: Views,
    /// Who wants what, and how often they said so.
    wanted: HashMap<(u128, u32), (u32, u32)>,
    /// The samples of each shard.
    shards: BTreeMap<u32, Vec<u128>>,
    missing: BTreeSet<u128>,
    garbage: u64,
    serving: BTreeMap<u32, u64>,
    coverage: BTreeMap<u32, Coverage>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Ledger {
    /// A ledger in which nothing is wanted and nothing cached.
    pub fn new() -> Self {
        Self {
            views: Views::new(),
            wanted: HashMap::new(),
            shards: BTreeMap::new(),
            missing: BTreeSet::new(),
            garbage: 0,
            serving: BTreeMap::new(),
            coverage: BTreeMap::new(),
        }
    }

    /// Wants samples, as of the next update. A source that wants one twice must give it up twice.
    ///
    /// # Errors
    /// [`LedgerError::OtherLength`]; the samples before it are then wanted.
    pub fn want(&mut self, samples: impl IntoIterator<Item = Wanted>) -> Result<(), LedgerError> {
        for Wanted { id, source, tokens } in samples {
            let (expected, times) = self.wanted.entry((id, source)).or_insert((tokens, 0));
            if *expected != tokens {
                let expected = *expected;
                return Err(LedgerError::OtherLength { id, expected, found: tokens });
            }
            *times += 1;
            if *times == 1 {
                self.views.want(id, source, tokens, 1);
            }
        }
        Ok(())
    }

    /// Gives samples up, as of the next update.
    ///
    /// # Errors
    /// [`LedgerError::NotWanted`]; the samples before it are then given up.
    pub fn give_up(
        &mut self,
        samples: impl IntoIterator<Item = Wanted>,
    ) -> Result<(), LedgerError> {
        for Wanted { id, source, .. } in samples {
            let Some((tokens, times)) = self.wanted.get_mut(&(id, source)) else {
                return Err(LedgerError::NotWanted { id, source_number: source });
            };
            *times -= 1;
            if *times == 0 {
                self.views.want(id, source, *tokens, -1);
                self.wanted.remove(&(id, source));
            }
        }
        Ok(())
    }

    /// Adds a shard of the cache with the samples that it has, as of the next update.
    ///
    /// # Errors
    /// [`LedgerError::Present`].
    pub fn add_shard(&mut self, shard: u32, mut samples: Vec<u128>) -> Result<(), LedgerError> {
        if self.shards.contains_key(&shard) {
            return Err(LedgerError::Present { shard });
        }
        samples.sort_unstable();
        samples.dedup();
        for id in &samples {
            self.views.have(*id, shard, 1);
        }
        // One that goes and comes between two updates counts on.
        self.serving.entry(shard).or_default();
        self.shards.insert(shard, samples);
        Ok(())
    }

    /// Takes a shard away, as of the next update: it was lost, or its file is going.
    ///
    /// # Errors
    /// [`LedgerError::Absent`].
    pub fn remove_shard(&mut self, shard: u32) -> Result<(), LedgerError> {
        let samples = self.shards.remove(&shard).ok_or(LedgerError::Absent { shard })?;
        for id in samples {
            self.views.have(id, shard, -1);
        }
        Ok(())
    }

    /// Brings the views up to date.
    pub fn update(&mut self) -> Change {
        let mut change = Change::default();
        let (facts, touched) = self.views.run();
        change.touched = touched;
        // Another source may become the first of a sample that is missing before and after.
        let mut missing = Vec::new();
        for ((id, fact), diff) in facts {
            let up = diff > 0;
            let Fact::Wanted { source, tokens, shard, is_first } = fact else {
                add(&mut self.garbage, 1, up);
                continue;
            };
            let coverage = self.coverage.entry(source).or_default();
            add(&mut coverage.wanted, 1, up);
            add(&mut coverage.wanted_tokens, u64::from(tokens), up);
            if let Some(shard) = shard {
                add(&mut coverage.covered, 1, up);
                add(&mut coverage.covered_tokens, u64::from(tokens), up);
                if is_first {
                    add(self.serving.entry(shard).or_default(), 1, up);
                }
            } else if is_first {
                missing.push((id, diff));
            }
        }
        consolidate(&mut missing);
        for (id, diff) in missing {
            if diff > 0 {
                self.missing.insert(id);
                change.capture.push(id);
            } else {
                self.missing.remove(&id);
                change.settled.push(id);
            }
        }
        self.serving.retain(|shard, _| self.shards.contains_key(shard));
        self.coverage.retain(|_, coverage| coverage.wanted > 0);
        change
    }

    /// The samples that are missing, in order, as of the last update.
    pub fn missing(&self) -> &BTreeSet<u128> {
        &self.missing
    }

    /// How many samples are cached and not wanted.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// How many samples each shard serves.
    pub fn serving(&self) -> &BTreeMap<u32, u64> {
        &self.serving
    }

    /// The shards that serve none: their files may go.
    pub fn dead_shards(&self) -> Vec<u32> {
        self.serving.iter().filter(|(_, served)| **served == 0).map(|(shard, _)| *shard).collect()
    }

    /// What each source wants, and what of it there is.
    pub fn coverage(&self) -> &BTreeMap<u32, Coverage> {
        &self.coverage
    }
}

/// Sums come in any order: one below zero in between is none at the end.
fn add(sum: &mut u64, by: u64, up: bool) {
    *sum = if up { sum.wrapping_add(by) } else { sum.wrapping_sub(by) };
}

#[cfg(test)]
mod tests;
