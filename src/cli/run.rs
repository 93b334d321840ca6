//! `stillflow run`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use dataflows::Stop;

use super::Format;
use super::input::DeviceArgs;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::run::{Progress, RunDirectory};
use crate::stages::inputs::inputs;
use crate::stages::prepare::report;
use crate::stages::{self, Context};

/// Run a recipe, or go on with a run: the same command both times.
#[derive(Debug, Args)]
#[command(after_help = "\
Every stage is checkpointed: after Ctrl-C, a crash or a power cut the same
command goes on, and ends with the same bytes. Ctrl-C seals what is done first;
a second one does not wait.

Examples:
  stillflow run quickstart
  stillflow run minitron-tiny --set teacher.model=DIR --set data.corpus.path=TEXT
  stillflow run my-recipe.toml --dir runs/first -w 2
  stillflow run capture-tiny --set teacher.model=DIR --set data.corpus.path=TEXT -n 8
  stillflow run runs/first")]
pub(super) struct Run {
    /// A built-in recipe (`stillflow ls recipes`), a TOML file, or a run directory to go on with
    recipe: String,
    /// Override one key of the recipe, such as distil.steps=100; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The run directory [default: runs/<recipe>]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Worker threads of the dataflow; the result does not depend on it
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Processes that [capture] runs on, each with as many workers and a teacher of its own, and with its own CUDA device
    /// where `auto` finds as many; other stages run in the first. The result does not depend on it
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    processes: u16,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the closing table as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Say nothing but errors and the closing table
    #[arg(short, long)]
    quiet: bool,
}

impl Run {
    pub(super) fn run(self) -> Result<(), Error> {
        let is_run = Path::new(&self.recipe).join("recipe.toml").is_file();
        let recipe = Recipe::resolve(&self.recipe, &self.sets)?;
        let dir = self.dir.clone().unwrap_or_else(|| {
            let path = Path::new(&self.recipe);
            if is_run {
                path.to_owned()
            } else {
                Path::new("runs").join(path.file_stem().unwrap_or_default())
            }
        });
        if !dir.join("recipe.toml").exists() && recipe.missing().is_empty() {
            inputs(&recipe)?;
        }
        // Before anything that takes long: the digests of a large teacher do.
        let stop = Stop::new();
        stop_on_signal(&stop);
        let (chosen, working) = self.device.choose()?;
        let run =
            RunDirectory::open(&dir, recipe, &chosen.name, &format!("{working:?}").to_lowercase())?;
        let progress = Arc::new(Progress::new(self.quiet));
        progress.say(&format!("{} on {} ({})", dir.display(), chosen.name, chosen.reason));
        let workers = usize::from(self.workers);
        let hands = self.device.of_hands(&chosen, self.processes);
        let device = chosen.device;
        let ctx = Arc::new(Context { run, device, working, workers, hands, stop, progress });
        let evaluated = match stages::run(&ctx) {
            Ok(evaluated) => evaluated,
            Err(error) => {
                let event =
                    if matches!(error, Error::Stopped { .. }) { "stopped" } else { "failed" };
                ctx.run.events.push(event, serde_json::json!({"reason": error.to_string()}));
                return Err(error);
            }
        };
        match (self.format, evaluated) {
            (Format::Json, Some(done)) => super::print_json(&done),
            (Format::Text, Some(done)) => {
                let table = |e: &stages::evaluate::Evaluated| e.report.table(&e.tokens_per_second);
                super::print(&format!("\n{}", table(&done.evaluated)));
                for (name, evaluated) in &done.then {
                    super::print(&format!("\nthen.{name}\n{}", table(evaluated)));
                }
            }
            // Nothing but tokens was asked for.
            (format, None) => match (format, report::read(&ctx.run.path)) {
                (Format::Json, report) => super::print_json(&report),
                (Format::Text, report) => {
                    super::print(&report.map_or(String::new(), |report| report.text()))
                }
            },
        }
        Ok(())
    }
}

/// The first signal asks the run to seal and end, the second ends it at once.
pub(super) fn stop_on_signal(stop: &Stop) {
    let stop = stop.clone();
    let handler = move || {
        if stop.requested() {
            std::process::exit(130);
        }
        stop.request();
        let line = "stopping: sealing what is done; once more does not wait";
        eprintln!("{}{line}", if std::io::stderr().is_terminal() { "\n" } else { "" });
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("warning: Ctrl-C will not seal before it ends the run: {error}");
    }
}
