//! The command line: see [`stillflow::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a panic on one worker would leave the others waiting for ever.
    stillflow::cli::abort_on_panic();
    stillflow::cli::main()
}
