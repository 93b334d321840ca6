//! The command line: see [`stillflow::cli`].

use std::process::ExitCode;

/// Tensors are made and dropped at every operation: an allocator that keeps their pages saves a quarter of a step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: a panic on one worker would leave the others waiting for ever.
    stillflow::cli::abort_on_panic();
    stillflow::cli::explain_bus_errors();
    stillflow::cli::main()
}
