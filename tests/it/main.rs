//! The integration tests: one binary, a file a subject.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
#![expect(clippy::print_stdout, reason = "what was skipped, and figures for the log")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "small numbers, of which the test knows the size"
)]

mod cache;
mod cache_figures;
mod choices;
mod cli;
mod command;
mod correction;
mod data;
mod depth;
mod losses;
mod oracle;
mod parity;
mod plans;
mod processes;
mod pruning;
mod resume;
mod runs;
#[path = "../../datasets/src/storage/tests/s3.rs"]
mod s3;
mod scores;
mod search;
mod sizes;
mod surgery;
mod surgery_figures;
mod training;
mod trials;
mod wgpu;
mod wgpu_kernels;
mod wrong_input;
