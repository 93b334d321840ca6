//! When: the step, the place in a step, the span of a run, and the wish to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

/// One optimizer update over the global batch, and the timestamp of the graphs.
///
/// As the name of a *state* it counts the steps applied: the state at step 3 has in it steps 0, 1 and 2.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Step(pub u64);

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of one micro-batch: its step, and its logical shard in the step.
///
/// Shards are logical: they are hosted by whatever workers there are (`shard % workers`), and what is made
/// of them is folded in their order, so that the number of workers never shows in a result.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct At {
    /// The step.
    pub step: Step,
    /// The micro-batch of the step.
    pub shard: u32,
}

/// The steps of a run, and which of them are checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first step to take: the checkpoint that was restored, or zero.
    pub resume: u64,
    /// The step not taken any more.
    pub end: u64,
    /// A checkpoint at each multiple of it, and at the end; zero for only at the end.
    pub every: u64,
}

/// A wish that the run should end early, and in order. Clones are handles on one wish.
///
/// # Examples
/// ```
/// let stop = dataflows::Stop::new();
/// let handler = stop.clone(); // for the signal handler
/// handler.request();
/// assert!(stop.requested());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    at_checkpoints: bool,
}

impl Stop {
    /// No wish yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle on the same wish, of a run that goes on to the next multiple of [`Span::every`]: what it seals there
    /// must not show that it was stopped.
    #[must_use]
    pub fn at_checkpoints(&self) -> Self {
        Self { asked: Arc::clone(&self.asked), at_checkpoints: true }
    }

    /// Whether the run goes on to a checkpoint that is due anyway.
    pub fn waits_for_checkpoint(&self) -> bool {
        self.at_checkpoints
    }

    /// Asks the run to seal what it has begun, and to end.
    pub fn request(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether anybody asked.
    pub fn requested(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}
