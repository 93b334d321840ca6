//! `stillflow cache sql`.

use std::path::PathBuf;

use clap::Args;
use datasets::logits::{Cache, sql};

use super::super::print;
use crate::error::Error;

/// Print a query that decodes a cache in duckdb, one row a word
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow cache sql logits | duckdb
  duckdb -c \"create view logits as $(stillflow cache sql logits)\"")]
pub(super) struct Sql {
    /// The cache
    dir: PathBuf,
}

impl Sql {
    pub(super) fn run(self) -> Result<(), Error> {
        let dir = std::path::absolute(&self.dir).map_err(Error::io(&self.dir, "find"))?;
        print(&sql(&Cache::open(&dir, None)?.whole()?));
        Ok(())
    }
}
