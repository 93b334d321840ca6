//! What every stage has at hand.

use std::fmt;
use std::sync::Arc;

use dataflows::{Failure, Halt, Stop};
use kernels::{DType, Device};
use serde_json::json;

use crate::error::{Error, explain};
use crate::recipe::Recipe;
use crate::run::{Progress, RunDirectory};

#[expect(clippy::exit, clippy::print_stderr, reason = "fail-stop: no part of a run goes on")]
fn die(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(1)
}

/// A stage of the run, and the operator of its graph that could not go on.
#[derive(Debug)]
struct Failed {
    stage: &'static str,
    failure: Failure,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage `{}` failed in `{}`", self.stage, self.failure.stage)?;
        if let Some(step) = self.failure.step {
            write!(f, " at step {step}")?;
        }
        if let Some(shard) = self.failure.shard {
            write!(f, ", shard {shard}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.failure.cause)
    }
}

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
    /// The devices of the other processes that [`capture`](super::capture) runs on, by their names; none if this is alone.
    pub hands: Vec<String>,
    /// The wish to end early.
    pub stop: Stop,
    /// For people.
    pub progress: Arc<Progress>,
}

impl Context {
    /// Of a run inside of this one: the same device, the same wish to end; what it does is said as a part of this one's
    /// stage.
    ///
    /// # Errors
    /// As [`RunDirectory::within`].
    pub fn within(&self, name: &str, recipe: Recipe, workers: usize) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            run: self.run.within(name, recipe)?,
            device: self.device.clone(),
            working: self.working,
            workers,
            hands: Vec::new(),
            stop: self.stop.clone(),
            progress: Arc::new(Progress::part_of(&self.progress)),
        }))
    }

    /// That the run was asked to stop, and did at `step` of the stage's `steps`.
    pub fn stopped(&self, stage: &'static str, step: u64, steps: u64) -> Error {
        Error::Stopped { path: self.run.path.clone(), stage, step, steps }
    }

    /// What ends the process where a graph cannot go on: it is reported, noted, and nothing is sealed any more.
    pub fn halt(self: &Arc<Self>, stage: &'static str) -> Halt {
        let ctx = Arc::clone(self);
        Arc::new(move |failure: Failure| {
            let (operator, step, shard) = (failure.stage.clone(), failure.step, failure.shard);
            let text = explain(&Failed { stage, failure });
            let fields = json!({"stage": stage, "operator": operator, "step": step, "shard": shard, "reason": text});
            ctx.run.events.push("failed", fields);
            ctx.progress.end(" (failed)");
            die(&text)
        })
    }
}
