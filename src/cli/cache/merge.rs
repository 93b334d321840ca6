//! `stillflow cache merge`.

use std::path::PathBuf;

use clap::Args;
use datasets::logits::merge;

use super::super::print;
use crate::error::Error;

/// Take the samples of other caches of the same teacher into one, shard by shard; each comes whole, or not at all
#[derive(Debug, Args)]
#[command(after_help = "\
Of a sample that is in both the one with more words is served.

Examples:
  stillflow cache merge all first second")]
pub(super) struct Merge {
    /// The cache that they are taken into; made, if it is not there
    into: PathBuf,
    /// The caches that are taken in
    #[arg(required = true)]
    from: Vec<PathBuf>,
}

impl Merge {
    pub(super) fn run(self) -> Result<(), Error> {
        for from in &self.from {
            let done = merge(&self.into, from)?;
            print(&format!("{}: {} shards came\n", from.display(), done.added));
        }
        Ok(())
    }
}
