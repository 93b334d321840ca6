//! `stillflow completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::error::Error;

/// A completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  stillflow completions bash > ~/.local/share/bash-completion/completions/stillflow")]
pub(super) struct Completions {
    /// Which
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "stillflow", &mut script);
        super::print(&String::from_utf8_lossy(&script));
        Ok(())
    }
}
