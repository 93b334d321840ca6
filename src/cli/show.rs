//! `stillflow show`.

use std::path::{Path, PathBuf};

use clap::Args;
use datasets::store::{Checkpoints, digest_bytes};
use serde::Serialize;

use super::input::recipe_of;
use super::{Format, plans};
use crate::error::Error;
use crate::model::ModelConfig;
use crate::prune::PrunePlan;
use crate::recipe::read_plan;
use crate::run::Seal;
use crate::search::report::Found;
use crate::stages::{evaluate, search, steps_of};

/// How far a run is, and what it found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow show runs/quickstart
  stillflow show runs/quickstart --format json
  stillflow show runs/first --diff runs/second
  stillflow show runs/second --after runs/first > plan.toml")]
pub(super) struct Show {
    /// A run directory; with --diff or --after a plan's file does too
    run: PathBuf,
    /// How its plan differs from that of this run, or in this file
    #[arg(long, value_name = "RUN|PLAN", conflicts_with = "after")]
    diff: Option<PathBuf>,
    /// Its plan, whose teacher is this run's student, as one plan of this run's teacher: TOML, for `prune.plan`
    #[arg(long, value_name = "RUN")]
    after: Option<PathBuf>,
    /// Print it as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    run: String,
    description: String,
    stages: Vec<Stage>,
    search: Option<Found>,
    plan: Option<plans::Kept>,
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
        if let Some(other) = &self.diff {
            let lines = plans::difference(&self.run, other)?;
            match self.format {
                Format::Json => super::print_json(&lines),
                Format::Text if lines.is_empty() => super::print("they make the same student\n"),
                Format::Text => super::print(&format!("{}\n", lines.join("\n"))),
            }
            return Ok(());
        }
        if let Some(first) = &self.after {
            super::print(&plans::composed(first, &self.run, &teacher_of(first)?)?);
            return Ok(());
        }
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
        if let Some(found) = &shown.search {
            super::print(&format!("\n{}", found.text()));
        }
        if let Some(kept) = &shown.plan {
            super::print(&format!("\n{}", kept.text()));
        }
        if let Some(picture) = plans::picture(&self.run, plan_of(&self.run)?.as_ref())? {
            super::print(&format!("\n{picture}"));
        }
        if let Some(evaluated) = &shown.evaluated {
            super::print(&format!("\n{}", evaluated.report.table(&evaluated.tokens_per_second)));
        }
        Ok(())
    }
}

/// The plan of a run, if it has one yet.
fn plan_of(run: &Path) -> Result<Option<PrunePlan>, Error> {
    let path = plans::plan_path(run);
    Ok(path.is_file().then(|| read_plan(&path, None)).transpose()?)
}

/// The shape of a run's teacher: what its sources bring of words is in its embedding.
fn teacher_of(run: &Path) -> Result<ModelConfig, Error> {
    let (_, recipe) = recipe_of(run)?;
    // The vocabulary is in no plan.
    Ok(recipe.teacher_shape(1)?)
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
        search: search::read(run),
        plan: plan_of(run)?.as_ref().map(plans::Kept::of),
        evaluated: evaluate::read(run),
    })
}
