//! `stillflow cache compact`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use datasets::logits::{Sizes, collect, compact, retire};

use super::super::print;
use crate::error::Error;

/// Write a cache's shards anew, fewer and smaller, each sample once
#[derive(Debug, Args)]
#[command(after_help = "\
The old shards stay, for readers of an earlier commit, until --collect takes
their files. Damaged shards, which `stillflow cache verify` names, are taken
out with --retire: their samples can then be captured again.

Examples:
  stillflow cache compact logits
  stillflow cache compact logits --collect 24
  stillflow cache compact logits --retire logits/data/af/af13….parquet")]
pub(super) struct Compact {
    /// The cache
    dir: PathBuf,
    /// The level of Zstandard
    #[arg(long, default_value_t = 19, value_parser = clap::value_parser!(u8).range(1..=22))]
    level: u8,
    /// Tokens of a shard
    #[arg(long, default_value_t = 1 << 24, value_parser = clap::value_parser!(u64).range(1..))]
    shard_tokens: u64,
    /// Afterwards remove files that no commit names and that nobody touched for so many hours
    #[arg(long, value_name = "HOURS")]
    collect: Option<u64>,
    /// Take this damaged shard out of the cache first; may be repeated
    #[arg(long, value_name = "SHARD")]
    retire: Vec<PathBuf>,
}

impl Compact {
    pub(super) fn run(self) -> Result<(), Error> {
        if !self.retire.is_empty() {
            // A shard is named from here, the cache names it from its own place.
            let absolute =
                |path: &PathBuf| std::path::absolute(path).map_err(Error::io(path, "find"));
            let shards = self.retire.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
            let done = retire(&absolute(&self.dir)?, &shards)?;
            print(&format!("{} shards taken out\n", done.removed));
        }
        let (level, shard_tokens) = (self.level, self.shard_tokens);
        let done = compact(&self.dir, Sizes { level, shard_tokens, ..Sizes::default() })?;
        print(&format!("{} shards became {}\n", done.removed, done.added));
        if let Some(hours) = self.collect {
            let removed = collect(&self.dir, Duration::from_secs(hours.saturating_mul(3600)))?;
            print(&format!("{} files removed\n", removed.len()));
        }
        Ok(())
    }
}
