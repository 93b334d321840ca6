//! The integration tests: one binary, a file a subject.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
#![expect(clippy::print_stdout, reason = "what was skipped, and figures for the log")]
#![expect(clippy::cast_possible_truncation, reason = "small numbers, of which the test knows the size")]

mod parity;
mod wgpu;
mod oracle;
mod resume;
mod runs;
mod trials;
mod command;
mod wrong_input;
mod cli;
