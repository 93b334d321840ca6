//! The graphs against a plain loop over the same roles.

mod bounds;
mod failing;
mod fakes;
mod oracle;
mod processes;
mod search;
mod stopping;
mod throughput;
