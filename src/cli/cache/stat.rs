//! `stillflow cache stat`.

use std::path::PathBuf;

use clap::Args;
use datasets::logits::{Cache, stat};

use super::super::{Format, print, print_json};
use crate::error::Error;

/// What a cache holds: bytes per token by column, samples by source, how many words, how much mass
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow cache stat runs/capture-tiny/logits
  stillflow cache stat logits --format json | jq .bytes_per_token
  stillflow cache stat logits --at 41          as it was at a commit")]
pub(super) struct Stat {
    /// The cache
    dir: PathBuf,
    /// As it was at this commit
    #[arg(long, value_name = "COMMIT")]
    at: Option<u64>,
    /// Print it as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Stat {
    pub(super) fn run(self) -> Result<(), Error> {
        let found = stat(&Cache::open_at(&self.dir, None, self.at)?)?;
        match self.format {
            Format::Text => print(&found.to_string()),
            Format::Json => print_json(&found),
        }
        Ok(())
    }
}
