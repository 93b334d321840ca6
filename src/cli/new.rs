//! `stillflow new`.

use std::path::PathBuf;

use clap::Args;
use datasets::store::write_atomic;

use crate::error::Error;
use crate::recipe::Recipe;

/// Write a recipe to start from, with every key and its default.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow new minitron-tiny                     to stdout
  stillflow new minitron-tiny my-recipe.toml --set distil.steps=1000")]
pub(super) struct New {
    /// A built-in recipe, a TOML file or a run directory
    recipe: String,
    /// Where to; stdout if absent. Never overwritten
    file: Option<PathBuf>,
    /// Override one key of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl New {
    pub(super) fn run(self) -> Result<(), Error> {
        let text = Recipe::resolve(&self.recipe, &self.sets)?.to_toml();
        let Some(file) = self.file else {
            super::print(&text);
            return Ok(());
        };
        if file.exists() {
            let found = format!("`{}`, which exists", file.display());
            return Err(Error::Flag {
                flag: "file",
                expected: "a file that does not exist".into(),
                found,
            });
        }
        write_atomic(&file, |f| f.write_all(text.as_bytes()))?;
        eprintln!("{}: `stillflow run {0}`", file.display());
        Ok(())
    }
}
