//! `stillflow clean`.

use std::path::{Path, PathBuf};

use clap::Args;
use datasets::store::{RunLock, remove_dir_all, remove_file};

use super::input::recipe_of;
use crate::error::Error;
use crate::run::Seal;
use crate::stages::steps_of;
use crate::units::thousands;

/// Remove what a run no longer needs: temporary files; once it is finished, checkpoints and generated text too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow clean runs/quickstart --dry-run
  stillflow clean runs/quickstart")]
pub(super) struct Clean {
    /// A run directory
    run: PathBuf,
    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl Clean {
    pub(super) fn run(self) -> Result<(), Error> {
        let (_, recipe) = recipe_of(&self.run)?;
        let _lock = RunLock::acquire(&self.run)?;
        let mut goes = Vec::new();
        temporaries(&self.run, &mut goes)?;
        if steps_of(&recipe).iter().all(|(name, _)| Seal::path(&self.run, name).is_file()) {
            goes.extend(
                ["checkpoints", "corpus"]
                    .map(|name| self.run.join(name))
                    .into_iter()
                    .filter(|path| path.exists()),
            );
        }
        let mut total = 0;
        for path in &goes {
            let bytes = bytes_of(path)?;
            total += bytes;
            super::print(&format!("{}  {} bytes\n", path.display(), thousands(bytes)));
            if !self.dry_run {
                if path.is_dir() { remove_dir_all(path)? } else { remove_file(path)? }
            }
        }
        let done = if self.dry_run { "would be removed" } else { "removed" };
        eprintln!("{} bytes {done}", thousands(total));
        Ok(())
    }
}

/// What a killed process left half written, anywhere below.
fn temporaries(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir, "list"))? {
        let path = entry.map_err(Error::io(dir, "list"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_file = path.is_file() && name.starts_with('.') && name.ends_with(".tmp");
        if is_file || (path.is_dir() && name.ends_with(".partial")) {
            found.push(path);
        } else if path.is_dir() {
            temporaries(&path, found)?;
        }
    }
    Ok(())
}

fn bytes_of(path: &Path) -> Result<u64, Error> {
    if !path.is_dir() {
        return Ok(std::fs::metadata(path).map_err(Error::io(path, "read"))?.len());
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).map_err(Error::io(path, "list"))? {
        bytes += bytes_of(&entry.map_err(Error::io(path, "list"))?.path())?;
    }
    Ok(bytes)
}
