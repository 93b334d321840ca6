//! The command line: one file a verb, no logic. stdout is data, stderr is for people.
#![expect(clippy::print_stderr, clippy::exit, reason = "a command line speaks to people, and ends")]

mod bench;
mod bus_error;
mod cache;
mod check;
mod clean;
mod completions;
mod doctor;
mod eval;
mod export;
mod generate;
mod hand;
mod input;
mod ls;
mod new;
mod plan;
mod plans;
mod run;
mod show;
mod trends;

use std::cell::Cell;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::error::{Error, explain};

pub use bus_error::explain_bus_errors;

/// Prune a large language model, distil it into the smaller one, and never lose a step.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  stillflow run quickstart       from nothing to a distilled student: offline, on a CPU
  stillflow run runs/quickstart  goes on where that run stopped
  stillflow plan mn-minitron-8b  shapes, FLOPs, bytes and time, before any work
  stillflow run minitron-tiny --set teacher.model=DIR --set data.corpus.path=TEXT

Exit codes: 0 done, 1 the input or the run failed, 2 usage, 130 interrupted and
sealed.";

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    New(new::New),
    Check(check::Check),
    Plan(plan::Plan),
    Show(show::Show),
    Ls(ls::Ls),
    Eval(eval::Eval),
    Generate(generate::Generate),
    Export(export::Export),
    Cache(cache::Cache),
    Bench(bench::Bench),
    Trends(trends::Trends),
    Doctor(doctor::Doctor),
    Clean(clean::Clean),
    Completions(completions::Completions),
    #[command(hide = true)]
    Hand(hand::Hand),
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON value, for programs.
    Json,
}

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `f` gives, or none if it panicked, which is printed: for what drivers may do.
fn caught<T>(f: impl FnOnce() -> T) -> Option<T> {
    CAUGHT.set(true);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).ok();
    CAUGHT.set(false);
    done
}

/// Prints what a panic says, and ends the process: no part of a run goes on without another. Those that are caught
/// where they happen, in the Parquet reader on a damaged file, are errors like any other.
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if datasets::panic_is_caught() {
            return;
        }
        print(panic);
        if CAUGHT.get() {
            return;
        }
        eprintln!(
            "\nerror: this is a bug in stillflow, or a device that failed (its memory was full, say); what was sealed is \
             whole, and the same command goes on from it"
        );
        std::process::abort();
    }));
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(verb) => verb.run(),
        Verb::New(verb) => verb.run(),
        Verb::Check(verb) => verb.run(),
        Verb::Plan(verb) => verb.run(),
        Verb::Show(verb) => verb.run(),
        Verb::Ls(verb) => verb.run(),
        Verb::Eval(verb) => verb.run(),
        Verb::Generate(verb) => verb.run(),
        Verb::Export(verb) => verb.run(),
        Verb::Cache(verb) => verb.run(),
        Verb::Bench(verb) => verb.run(),
        Verb::Trends(verb) => verb.run(),
        Verb::Doctor(verb) => verb.run(),
        Verb::Clean(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
        Verb::Hand(verb) => verb.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped @ Error::Stopped { .. }) => {
            eprintln!("{}", explain(&stopped).trim_start_matches("error: "));
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Prints data; that nobody reads it any more (`| head`) is no error.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Prints data as JSON.
fn print_json(value: &impl serde::Serialize) {
    // What is printed is made of strings and numbers.
    print(&format!("{:#}\n", serde_json::to_value(value).unwrap_or_default()));
}
