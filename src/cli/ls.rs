//! `stillflow ls`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use dataflows::recipes::RECIPES;
use serde::Serialize;

use super::Format;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::run::Seal;
use crate::stages::steps_of;

/// The built-in recipes, or the runs below a directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow ls recipes
  stillflow ls runs
  stillflow ls runs /data/runs --format json")]
pub(super) struct Ls {
    #[command(subcommand)]
    what: Option<What>,
    /// Print it as this
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The built-in recipes
    Recipes,
    /// The runs below a directory
    Runs {
        /// Where to look
        #[arg(default_value = "runs")]
        dir: PathBuf,
    },
}

#[derive(Serialize)]
struct Line {
    name: String,
    state: String,
}

impl Ls {
    pub(super) fn run(self) -> Result<(), Error> {
        let lines = match self.what.unwrap_or(What::Recipes) {
            What::Recipes => recipes()?,
            What::Runs { dir } => runs(&dir)?,
        };
        if self.format == Format::Json {
            super::print_json(&lines);
            return Ok(());
        }
        let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
        for Line { name, state } in &lines {
            super::print(&format!("{name:width$}  {state}\n"));
        }
        Ok(())
    }
}

fn recipes() -> Result<Vec<Line>, Error> {
    let line = |(name, _): &(&str, &str)| {
        Ok(Line { name: (*name).to_owned(), state: Recipe::resolve(name, &[])?.description })
    };
    RECIPES.iter().map(line).collect()
}

fn runs(dir: &Path) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    if !dir.is_dir() {
        let found = format!("`{}`, which is none", dir.display());
        return Err(Error::Flag {
            flag: "dir",
            expected: "a directory with runs in it".into(),
            found,
        });
    }
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir, "list"))? {
        let path = entry.map_err(Error::io(dir, "list"))?.path();
        let file = path.join("recipe.toml");
        if !file.is_file() {
            continue;
        }
        let state = match Recipe::resolve(&file.to_string_lossy(), &[]) {
            Ok(recipe) => {
                let stages = steps_of(&recipe);
                match stages.iter().find(|(name, _)| !Seal::path(&path, name).is_file()) {
                    Some((name, _)) => format!("in {name}  {}", recipe.description),
                    None => format!("finished  {}", recipe.description),
                }
            }
            Err(error) => format!("unreadable: {error}"),
        };
        lines.push(Line { name: path.display().to_string(), state });
    }
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(lines)
}
