//! The graphs: the pictures of the system.
//!
//! Each is one function that reads top to bottom as its picture, and takes the roles it is made of.

pub mod cluster;
mod distil;
mod hand;
mod pass;
mod run;
mod search;
#[cfg(test)]
mod tests;
mod throughput;

pub use distil::{Distil, distil};
pub use hand::hand;
pub use pass::{Pass, pass, pass_with_hands};
pub use run::{Outcome, RunError};
pub use search::{Attempt, Standings, search};
pub use throughput::{Container, Measured, Throughput, throughput};

use std::time::Duration;

use crate::failure::Failure;
use crate::time::Span;

/// The work of a device thread on a message `D`, told how long the thread has waited for it.
trait Job<D, R>: FnMut(D, Duration) -> Result<R, Failure> + Send + 'static {}

impl<D, R, W: FnMut(D, Duration) -> Result<R, Failure> + Send + 'static> Job<D, R> for W {}

/// The shape of a run. Of these only `shards` and `span` show in what a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Worker threads of each process; no more are used than there are `shards` for them.
    pub workers: usize,
    /// Logical micro-batches of a step.
    pub shards: u32,
    /// Steps in flight: a step is begun when the one so many before it is done.
    pub window: u64,
    /// Steps not yet sealed: how far a run goes on while a checkpoint is made durable.
    pub uncommitted: u64,
    /// The steps.
    pub span: Span,
}

impl Shape {
    /// The shape that runs: at least one of each.
    fn at_least_one(self) -> Self {
        let shards = self.shards.max(1);
        Shape {
            workers: self.workers.clamp(1, shards as usize),
            shards,
            window: self.window.max(1),
            uncommitted: self.uncommitted.max(1),
            span: self.span,
        }
    }

    /// The shape of each of so many processes: they deal the shards among them.
    fn among(self, processes: usize) -> Self {
        let most = (self.shards as usize).div_ceil(processes.max(1));
        Shape { workers: self.workers.min(most), ..self }
    }
}
