//! Adds what the teacher thinks to the cache, in the order of the groups.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use dataflows::roles::{Commit, Fold, Part, Staging};
use dataflows::{At, Failure, Step};
use datasets::logits::{CacheWriter, Scored};
use serde_json::json;

use super::STAGE;
use crate::stages::context::Context;

/// The cache that grows.
pub struct Keeping {
    /// Of the run.
    pub ctx: Arc<Context>,
    /// Of the cache.
    pub writer: Arc<Mutex<CacheWriter>>,
    /// Tokens that are committed together, or a few more: a group is never there by half.
    pub shard_tokens: u64,
    /// Tokens that are not committed yet.
    pub open: u64,
    /// Tokens that are in it, of those that were missing at the beginning.
    pub done: u64,
}

impl Fold for Keeping {
    type Input = Vec<Scored>;

    fn fold(&mut self, _: At, scored: Vec<Scored>) -> Result<(), Failure> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for sample in &scored {
            writer.push(sample).map_err(Failure::of)?;
            self.open += sample.tokens.len() as u64;
            self.done += sample.tokens.len() as u64;
        }
        if self.open >= self.shard_tokens {
            let begun = Instant::now();
            let commit = writer.commit().map_err(Failure::of)?;
            let (tokens, ms) = (self.open, begun.elapsed().as_secs_f64() * 1e3);
            let fields = json!({"stage": STAGE, "commit": commit, "tokens": tokens, "ms": ms});
            self.ctx.run.events.push("captured", fields);
            self.open = 0;
        }
        drop(writer);
        self.ctx.progress.at(self.done, String::new);
        Ok(())
    }

    /// What is not committed yet is, so that a run that is stopped loses nothing.
    fn part(&mut self, _: Step) -> Staging {
        let writer = Arc::clone(&self.writer);
        Box::new(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.commit().map_err(Failure::of)?;
            Ok(Vec::new())
        })
    }
}

/// There is nothing to commit but the cache, which has its own log.
pub struct Committed;

impl Commit for Committed {
    fn commit(&mut self, _: Step, _: Vec<Part>) -> Result<(), Failure> {
        Ok(())
    }
}
