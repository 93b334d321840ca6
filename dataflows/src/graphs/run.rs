//! Runs a graph on the threads of one process.

use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use timely::dataflow::Scope;
use timely::{CommunicationConfig, Config, WorkerConfig};

use crate::course::Course;
use crate::time::Step;

/// How a run ended, with all that it did sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took all of its steps.
    Finished,
    /// It was asked to stop, and stopped before this step, which is the one to resume at.
    Stopped {
        /// The checkpoint it left.
        step: Step,
    },
}

/// A run that did not run to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunError {
    /// The workers could not be started.
    #[error("could not start {workers} workers: {reason}")]
    Start {
        /// How many.
        workers: usize,
        /// What timely said.
        reason: String,
    },
    /// A worker panicked.
    #[error("worker {worker} panicked: {reason}")]
    Worker {
        /// Which.
        worker: usize,
        /// What timely said.
        reason: String,
    },
}

/// Builds the graph on each worker, and steps it until the course is run.
pub(super) fn run<B>(workers: usize, course: &Course, build: B) -> Result<Outcome, RunError>
where
    B: for<'scope> Fn(Scope<'scope, u64>) + Send + Sync + 'static,
{
    let communication = match workers {
        1 => CommunicationConfig::Thread,
        workers => CommunicationConfig::Process(workers),
    };
    let config = Config { communication, worker: WorkerConfig::default() };
    let guards = timely::execute(config, move |worker| {
        worker.dataflow(&build);
        while worker.step_or_park(None) {}
    })
    .map_err(|reason| RunError::Start { workers, reason })?;
    for (worker, result) in guards.join().into_iter().enumerate() {
        result.map_err(|reason| RunError::Worker { worker, reason })?;
    }
    Ok(match course.end() {
        end if end < course.planned_end() => Outcome::Stopped { step: end },
        _ => Outcome::Finished,
    })
}

/// A role that exists once, and lives on worker 0.
pub(super) struct Once<R>(Mutex<Option<R>>);

impl<R> Once<R> {
    pub(super) fn new(role: R) -> Self {
        Once(Mutex::new(Some(role)))
    }

    /// The role, on the worker that hosts it.
    pub(super) fn on(&self, worker: usize) -> Option<R> {
        // Taking cannot tear the value, so a poisoned lock is as good as any.
        (worker == 0).then(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).take())?
    }
}
