//! The integration tests: one binary, a file a subject.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod parity;
mod wgpu;
mod oracle;
mod resume;
mod runs;
mod trials;
mod command;
mod wrong_input;
mod cli;
