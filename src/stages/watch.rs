//! What a stage reads, by source: for people while it trains, and as `timing/<stage>/data-*.parquet`; and where it
//! stands in the data, as a part of its checkpoints.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dataflows::roles::Part;
use datasets::loader::{Cursor, Loader, SourceStats};
use datasets::store::{Checkpoint, sealed};
use datasets::table::{Column, Table};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::stages::Context;
use crate::stages::commit::sealed_part;
use crate::units;

/// The part of a checkpoint with the cursor.
const CURSOR: &str = "cursor.json";

/// Watches a loader.
#[derive(Clone)]
pub struct Watching {
    loader: Arc<Loader>,
    begun: Instant,
    before: Vec<SourceStats>,
    /// Sequences of a step.
    global: u64,
}

/// A cursor in a file of its own.
#[derive(Serialize, Deserialize)]
struct Kept {
    cursor: Cursor,
}

impl Watching {
    /// From now on, of a stage of `global` sequences a step.
    pub fn new(loader: &Arc<Loader>, global: u64) -> Self {
        let before = loader.stats();
        Self { loader: Arc::clone(loader), begun: Instant::now(), before, global }
    }

    fn stats(&self) -> Vec<SourceStats> {
        self.loader
            .stats()
            .iter()
            .zip(&self.before)
            .map(|(now, before)| now.since(before))
            .collect()
    }

    /// Refuses a checkpoint that was made on other data, or in another order of it.
    ///
    /// # Errors
    /// [`Error::Cursor`] with every field that differs; [`Error::Store`] if the part cannot be read.
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Some(path) = checkpoint.part(CURSOR) else { return Ok(()) };
        let (kept, _) = sealed::read::<Kept>(&path)?;
        Ok(self.loader.check(&kept.cursor)?)
    }

    /// Writes where the data stands after `step` steps, in the folder of a checkpoint's parts.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be written.
    pub fn part(&self, dir: &Path, step: u64) -> Result<Part, Error> {
        let cursor = self.loader.cursor(step.saturating_mul(self.global));
        sealed_part("record", CURSOR, dir, &Kept { cursor })
    }

    /// What was read, of it from elsewhere, and the share of the time since the beginning that readers waited for it.
    #[expect(clippy::cast_precision_loss, reason = "a share, and a rate, that are shown")]
    pub fn said(&self) -> String {
        let stats = self.stats();
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let waited = stats.iter().map(|s| s.wait_ns).sum::<u64>() as f64 / 1e9;
        let bytes = stats.iter().map(|s| s.bytes_read).sum::<u64>();
        let fetched = stats.iter().map(|s| s.fetched.bytes_fetched).sum::<u64>();
        let remote = match stats.iter().map(|s| s.fetched.retries).sum::<u64>() {
            0 if fetched == 0 => String::new(),
            0 => format!(" ({} fetched)", units::bytes(fetched)),
            n => format!(" ({} fetched, {} retries)", units::bytes(fetched), units::thousands(n)),
        };
        format!("data {}{remote}, waited {:.1}%", units::bytes(bytes), waited / seconds * 100.0)
    }

    /// Writes what a stage read that is one pass, as `timing/<stage>/data-<incarnation>.parquet`.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Table`] if it cannot be written.
    pub fn write(&self, ctx: &Context, stage: &str) -> Result<(), Error> {
        let dir = ctx.run.path.join("timing").join(stage);
        datasets::store::create_dir_all(&dir)?;
        let incarnation = ctx.run.events.incarnation();
        self.table().write(&dir.join(format!("data-{incarnation}.parquet")))?;
        Ok(())
    }

    /// What was read of each source since the beginning.
    #[expect(clippy::cast_precision_loss, reason = "a time")]
    pub fn table(&self) -> Table {
        let stats = self.stats();
        let count = |f: fn(&SourceStats) -> u64| Column::U64(stats.iter().map(f).collect());
        Table::new([
            ("source", Column::Text(stats.iter().map(|s| s.name.clone()).collect())),
            ("sequences", count(|s| s.sequences)),
            ("tokens", count(|s| s.tokens)),
            ("padding", count(|s| s.padding)),
            ("bytes_read", count(|s| s.bytes_read)),
            ("windows_decoded", count(|s| s.windows_decoded)),
            ("cache_hits", count(|s| s.cache_hits)),
            ("requests", count(|s| s.fetched.requests)),
            ("retries", count(|s| s.fetched.retries)),
            ("bytes_fetched", count(|s| s.fetched.bytes_fetched)),
            ("ahead_hits", count(|s| s.fetched.ahead_hits)),
            ("disk_cache_hits", count(|s| s.fetched.cache_hits)),
            ("disk_cache_misses", count(|s| s.fetched.cache_misses)),
            ("waited_seconds", Column::F64(stats.iter().map(|s| s.wait_ns as f64 / 1e9).collect())),
        ])
    }
}
