//! Runs a graph on the threads of one process, or of several.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};
use timely::dataflow::Scope;
use timely::execute::execute_from;
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};

use super::cluster::Cluster;
use crate::course::Course;
use crate::failure::{Halt, once};
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

/// Builds the graph on each worker, of this process alone or of one of a cluster, and steps it until the course is run.
pub(super) fn run<B>(
    workers: usize,
    cluster: Option<(Cluster, Halt)>,
    course: &Course,
    build: B,
) -> Result<Outcome, RunError>
where
    B: for<'scope> Fn(Scope<'scope, u64>) + Send + Sync + 'static,
{
    let threads = Threads { workers, serialize: false, cluster };
    execute(threads, move |worker| {
        worker.dataflow(&build);
        while worker.step_or_park(None) {}
    })?;
    Ok(match course.end() {
        end if end < course.planned_end() => Outcome::Stopped { step: end },
        _ => Outcome::Finished,
    })
}

/// The threads that workers run on.
pub(super) struct Threads {
    /// How many in this process.
    pub(super) workers: usize,
    /// Whether what they send each other is serialised, as between processes.
    pub(super) serialize: bool,
    /// The other processes, and what is told when one is lost.
    pub(super) cluster: Option<(Cluster, Halt)>,
}

/// Runs `work` on each worker, and returns what each of this process made.
pub(super) fn execute<T, F>(threads: Threads, work: F) -> Result<Vec<T>, RunError>
where
    T: Send + 'static,
    F: Fn(&mut Worker) -> T + Send + Sync + 'static,
{
    let Threads { workers, serialize, cluster } = threads;
    let start = |reason| RunError::Start { workers, reason };
    let (builders, others) = match cluster {
        Some((cluster, halt)) => {
            let hooks = Hooks::default();
            let vector = if serialize {
                ProcessBuilder::new_bytes_vector
            } else {
                ProcessBuilder::new_typed_vector
            };
            let local = vector(workers, hooks.refill.clone(), None);
            let index = cluster.index();
            let links = cluster.links(&once(halt));
            let (builders, guard) =
                initialize_networking_from_sockets(local, links, index, workers, hooks)
                    .map_err(|error| start(error.to_string()))?;
            let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
            (builders, Box::new(guard) as Box<dyn Any + Send>)
        }
        None => match (workers, serialize) {
            (1, _) => CommunicationConfig::Thread,
            (workers, false) => CommunicationConfig::Process(workers),
            (workers, true) => CommunicationConfig::ProcessBinary(workers),
        }
        .try_build()
        .map_err(start)?,
    };
    let guards = execute_from(builders, others, WorkerConfig::default(), work).map_err(start)?;
    let results = guards.join().into_iter().enumerate();
    results
        .map(|(worker, result)| result.map_err(|reason| RunError::Worker { worker, reason }))
        .collect()
}

/// A role that exists once, and lives on worker 0.
pub(super) struct Once<R>(Mutex<Option<R>>);

impl<R> Once<R> {
    pub(super) fn new(role: R) -> Self {
        Once(Mutex::new(Some(role)))
    }

    /// No role: worker 0 is in another process.
    pub(super) fn elsewhere() -> Self {
        Once(Mutex::new(None))
    }

    /// The role, on the worker that hosts it.
    pub(super) fn on(&self, worker: usize) -> Option<R> {
        // Taking cannot tear the value, so a poisoned lock is as good as any.
        (worker == 0).then(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).take())?
    }
}
