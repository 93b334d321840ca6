//! What every stage has at hand.

use std::sync::Arc;

use dataflows::{Failure, Halt, Stop};
use kernels::{DType, Device};
use serde_json::json;

use crate::error::explain;
use crate::run::{Progress, RunDirectory};

/// What every stage has at hand.
pub struct Context {
    /// The run directory; its recipe is the run's.
    pub run: RunDirectory,
    /// Where tensors are made.
    pub device: Device,
    /// The type of weights and activations there.
    pub working: DType,
    /// Worker threads.
    pub workers: usize,
    /// The wish to end early.
    pub stop: Stop,
    /// For people.
    pub progress: Progress,
}

impl Context {
    /// What ends the process where a graph cannot go on: it is reported, noted, and nothing is sealed any more.
    pub fn halt(self: &Arc<Self>) -> Halt {
        let ctx = Arc::clone(self);
        Arc::new(move |failure: Failure| {
            let text = explain(&failure);
            let fields = json!({"stage": failure.stage, "step": failure.step, "shard": failure.shard, "reason": text});
            ctx.run.events.push("failed", fields);
            ctx.progress.end(" (failed)");
            eprintln!("{text}");
            std::process::exit(1);
        })
    }
}
