//! `stillflow show`.

use std::path::{Path, PathBuf};

use clap::Args;
use datasets::store::{Checkpoints, digest_bytes};
use serde::Serialize;

use super::Format;
use super::input::recipe_of;
use crate::error::Error;
use crate::run::Seal;
use crate::stages::{evaluate, steps_of};

/// How far a run is, and what it found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow show runs/quickstart
  stillflow show runs/quickstart --format json")]
pub(super) struct Show {
    /// A run directory
    run: PathBuf,
    /// Print it as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    run: String,
    description: String,
    stages: Vec<Stage>,
    evaluated: Option<evaluate::Evaluated>,
}

#[derive(Serialize)]
struct Stage {
    name: &'static str,
    state: &'static str,
    step: Option<u64>,
    steps: Option<u64>,
}

impl Show {
    pub(super) fn run(self) -> Result<(), Error> {
        let shown = look(&self.run)?;
        if self.format == Format::Json {
            super::print_json(&shown);
            return Ok(());
        }
        super::print(&format!("{}  {}\n\n", shown.run, shown.description));
        for stage in &shown.stages {
            let step = match (stage.step, stage.steps) {
                (Some(step), Some(steps)) => format!("  step {step} of {steps}"),
                (Some(step), None) => format!("  step {step}"),
                _ => String::new(),
            };
            super::print(&format!("{:>9}  {}{step}\n", stage.name, stage.state));
        }
        if let Some(evaluated) = &shown.evaluated {
            super::print(&format!("\n{}", evaluated.report.table(&evaluated.tokens_per_second)));
        }
        Ok(())
    }
}

fn look(run: &Path) -> Result<Shown, Error> {
    let (file, recipe) = recipe_of(run)?;
    let text = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
    let digest = digest_bytes(&text);
    let mut stages = Vec::new();
    for (name, steps) in steps_of(&recipe) {
        let is_finished = Seal::read(&Seal::path(run, name), digest).is_some();
        let dir = run.join("checkpoints").join(name);
        let newest = if dir.is_dir() && !is_finished {
            Checkpoints::open(&dir, digest)?.newest()?.checkpoint
        } else {
            None
        };
        let state = match (is_finished, &newest) {
            (true, _) => "finished",
            (false, Some(_)) => "begun",
            (false, None) => "to do",
        };
        stages.push(Stage { name, state, step: newest.map(|checkpoint| checkpoint.step), steps });
    }
    let description = recipe.description.clone();
    Ok(Shown {
        run: run.display().to_string(),
        description,
        stages,
        evaluated: evaluate::read(run),
    })
}
