//! `stillflow trends`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use dataflows::Stop;
use serde_json::json;

use super::Format;
use super::input::DeviceArgs;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::run::{Progress, RunDirectory};
use crate::stages::{self, Context};
use crate::trends::arms::{ARMS, Materials};
use crate::trends::findings::TRENDS;
use crate::trends::report::Report;
use crate::trends::results::{Outcome, Results};

/// Try the papers' findings on a small teacher: runs, a verdict each, one page with pictures.
#[derive(Debug, Args)]
#[command(after_help = "\
Each arm is a built-in recipe, `trends-<arm>`, run with some seeds in DIR/arms, in a
directory named by its content: what was run once is not run again, and after
Ctrl-C the same command goes on. DIR/report.html has the pictures.

Examples:
  stillflow trends --own novels/ --other manuals/ --tokenizer tokenizer.json
  stillflow trends --own novels/ --other manuals/ --teacher DIR --only T1,T6
  stillflow trends --own novels/ --other manuals/ --teacher DIR --set distil.warmup_steps=20")]
pub(super) struct Trends {
    /// Text that the teacher is trained on: a file, a folder or a glob
    #[arg(long, value_name = "TEXT")]
    own: String,
    /// Another text, for the teacher's correction
    #[arg(long, value_name = "TEXT")]
    other: String,
    /// A teacher, a Hugging Face directory; without it one is trained first, for which --tokenizer is needed
    #[arg(long, value_name = "DIR", conflicts_with = "tokenizer")]
    teacher: Option<PathBuf>,
    /// The tokenizer of a teacher that is trained first
    #[arg(long, value_name = "FILE", required_unless_present = "teacher")]
    tokenizer: Option<String>,
    /// Items of multiple choice, JSON lines of context, choices and answer, for T7
    #[arg(long, value_name = "FILE")]
    probe: Option<String>,
    /// Where everything lies
    #[arg(long, default_value = "runs/trends")]
    dir: PathBuf,
    /// Runs of each arm: seeds 1 to this
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..100))]
    seeds: u64,
    /// Only these, such as T1,T6
    #[arg(long, value_delimiter = ',', value_name = "TREND")]
    only: Vec<String>,
    /// Override one key of every student's recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Override one key of the teacher's recipe; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set_teacher: Vec<String>,
    /// Worker threads of the dataflow; the result does not depend on it
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the verdicts as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Say nothing but errors and the verdicts
    #[arg(short, long)]
    quiet: bool,
}

impl Trends {
    pub(super) fn run(self) -> Result<(), Error> {
        let wanted = self.wanted()?;
        let materials = Materials {
            dir: self.dir.clone(),
            own: self.own.clone(),
            other: self.other.clone(),
            tokenizer: self.tokenizer.clone(),
            probe: self.probe.clone(),
            sets: self.sets.clone(),
        };
        let stop = Stop::new();
        super::run::stop_on_signal(&stop);
        let run = |path: PathBuf, recipe: Recipe| self.one(path, recipe, &stop);
        let teacher = match &self.teacher {
            Some(teacher) => teacher.clone(),
            None => {
                let (path, recipe) = materials.teacher(&self.set_teacher)?;
                run(path.clone(), recipe)?;
                path.join("models").join("teacher")
            }
        };
        let mut results = Results::default();
        // Seed by seed, so that a first answer to every question comes first.
        for seed in 1..=self.seeds {
            for arm in ARMS.iter().filter(|arm| wanted.contains(&arm.name)) {
                let (path, recipe) = materials.arm(arm, &teacher, seed)?;
                if let Some(distil) = &recipe.distil {
                    results.step_tokens = distil.tokens_per_step(recipe.tokens.seq_tokens);
                }
                run(path.clone(), recipe)?;
                let outcome = Outcome::read(&path).unwrap_or_default();
                results.arms.entry(arm.name.to_owned()).or_default().push(outcome);
                self.report(&results, &teacher).write(&self.dir)?;
            }
        }
        let report = self.report(&results, &teacher);
        report.write(&self.dir)?;
        match self.format {
            Format::Json => super::print_json(&json!({"report": report, "results": results})),
            Format::Text => super::print(&format!(
                "{}\n{}\n",
                report.text(),
                self.dir.join("report.html").display()
            )),
        }
        Ok(())
    }

    /// The arms that the wanted trends take, and those that these read from.
    fn wanted(&self) -> Result<Vec<&'static str>, Error> {
        let known: Vec<&str> = TRENDS.iter().map(|trend| trend.id).collect();
        if let Some(wrong) = self.only.iter().find(|id| !known.contains(&id.as_str())) {
            return Err(Error::Flag {
                flag: "--only",
                expected: known.join(", "),
                found: wrong.clone(),
            });
        }
        let is_wanted = |id: &str| self.only.is_empty() || self.only.iter().any(|only| only == id);
        let mut arms: Vec<&str> =
            TRENDS.iter().filter(|t| is_wanted(t.id)).flat_map(|t| t.arms).copied().collect();
        let read: Vec<&str> = ARMS
            .iter()
            .filter(|arm| arms.contains(&arm.name))
            .filter_map(|arm| arm.importance_of)
            .collect();
        arms.extend(read);
        Ok(arms)
    }

    /// One run, from where it stopped.
    fn one(&self, path: PathBuf, recipe: Recipe, stop: &Stop) -> Result<(), Error> {
        let (chosen, working) = self.device.choose()?;
        let progress = Arc::new(Progress::new(self.quiet));
        progress.say(&format!("{}", path.display()));
        let dtype = format!("{working:?}").to_lowercase();
        let ctx = Arc::new(Context {
            run: RunDirectory::open(&path, recipe, &chosen.name, &dtype)?,
            device: chosen.device,
            working,
            workers: usize::from(self.workers),
            hands: Vec::new(),
            stop: stop.clone(),
            progress,
        });
        stages::run(&ctx).map(drop)
    }

    fn report(&self, results: &Results, teacher: &std::path::Path) -> Report {
        let runs: usize = results.arms.values().map(Vec::len).sum();
        Report::of(
            results,
            vec![
                format!(
                    "teacher {}, its text {}, the other {}",
                    teacher.display(),
                    self.own,
                    self.other
                ),
                format!(
                    "{runs} runs of {} arms; a difference is one if it is more than the spread of the seeds \
                     makes likely (one-sided, 95 %)",
                    results.arms.len()
                ),
            ],
        )
    }
}
