//! `stillflow cache`: one file a verb.

mod compact;
mod import;
mod merge;
mod sql;
mod stat;
mod verify;

use clap::{Args, Subcommand};

use crate::error::Error;

/// Caches of teacher logits: what they hold, whether it is so, and what is done to them as a whole.
#[derive(Debug, Args)]
#[command(after_help = "\
A run with [capture] fills one, a run with [logits] learns from one:
  stillflow run capture-tiny --set teacher.model=DIR --set data.corpus.path=TEXT
  stillflow cache stat runs/capture-tiny/logits
  stillflow cache verify runs/capture-tiny/logits --level 4 --teacher DIR")]
pub(super) struct Cache {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Stat(stat::Stat),
    Verify(verify::Verify),
    Merge(merge::Merge),
    Compact(compact::Compact),
    Import(import::Import),
    Sql(sql::Sql),
}

impl Cache {
    pub(super) fn run(self) -> Result<(), Error> {
        match self.verb {
            Verb::Stat(verb) => verb.run(),
            Verb::Verify(verb) => verb.run(),
            Verb::Merge(verb) => verb.run(),
            Verb::Compact(verb) => verb.run(),
            Verb::Import(verb) => verb.run(),
            Verb::Sql(verb) => verb.run(),
        }
    }
}
