//! What the dataflow alone costs: batches that nobody works on.
//!
//! ```text
//!        .---- in flight ----.
//!        v                   |
//!      paced ==> make ==> fold
//! ```
//!
//! `=` crosses workers: the places of a step are dealt to them in turn, and what is made there goes on by a hash of
//! the key of the batch, where there is an exchange. All stages run on each worker of each process.
//!
//! # What is measured
//!
//! From the first step until the last is known to be done everywhere, on the slowest worker, after a graph
//! of a few steps has warmed up threads and sockets and lined up the workers. Making a batch is in it (a
//! fill of its bytes), and a look at its first and last byte; with one worker, or without an exchange,
//! nothing else is done with them.
//!
//! # Frontiers
//!
//! `fold` has passed *t*: all batches of step *t* have arrived, at whichever worker.

mod measured;
mod payload;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::{
    DistributorPact, Exchange, ParallelizationContract, Pipeline,
};
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{ConnectLoop, Feedback};
use timely::dataflow::{Scope, Stream, StreamVec};
use timely::worker::Worker;

use super::RunError;
use super::cluster::Cluster;
use super::run::{Threads, execute};
use crate::course::Course;
use crate::failure::Halt;
use crate::operators::paced;
use crate::time::{At, Span, Stop};

pub use measured::Measured;
use measured::term;
use payload::{Blob, ByPage, Page, Payload, fill, filling, mix};

/// What batches travel in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// A `Vec` of records whose payload is a `Vec<u8>`: between processes byte by byte through serde.
    Records,
    /// A `Vec` of records whose payload is serialised as bytes: between processes two copies.
    Bytes,
    /// The batch is the container: between processes one copy, received in place.
    Page,
}

/// A graph to measure.
///
/// In a [`Cluster`] all processes are given the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// The size of a batch.
    pub payload_bytes: usize,
    /// What it travels in.
    pub container: Container,
    /// Whether batches are dealt to the workers by key, or stay where they are made.
    pub exchange: bool,
    /// Batches of a step.
    pub per_step: u32,
    /// Steps.
    pub steps: u64,
    /// Steps in flight.
    pub window: u64,
    /// Workers of each process.
    pub workers: usize,
    /// Whether the workers of a process serialise what they send to one another, as processes do.
    pub serialize: bool,
}

impl Throughput {
    /// All batches of all processes.
    pub fn batches(&self) -> u64 {
        self.steps.saturating_mul(self.per_step.into())
    }

    /// What the digests of all processes together are to be.
    pub fn digest(&self) -> u64 {
        let one = |key| term(key, self.payload_bytes, filling(key));
        (0..self.batches()).map(one).fold(0, u64::wrapping_add)
    }

    fn key(&self, at: At) -> u64 {
        at.step.0 * u64::from(self.per_step) + u64::from(at.shard)
    }
}

/// Runs the graph, and measures it: in this process alone, or as a process of a cluster, of which each
/// returns its part.
///
/// # Errors
/// Where the workers cannot be started, or one panics. A lost process is told to the [`Halt`].
///
/// # Examples
/// ```
/// use dataflows::graphs::{Container, Throughput, throughput};
///
/// let graph = Throughput {
///     payload_bytes: 1 << 10,
///     container: Container::Page,
///     exchange: true,
///     per_step: 4,
///     steps: 100,
///     window: 8,
///     workers: 2,
///     serialize: false,
/// };
/// let measured = throughput(&graph, None)?;
/// assert_eq!(measured.batches, 400);
/// assert_eq!(measured.digest, graph.digest());
/// # Ok::<_, dataflows::RunError>(())
/// ```
pub fn throughput(
    graph: &Throughput,
    cluster: Option<(Cluster, Halt)>,
) -> Result<Measured, RunError> {
    let graph = Throughput {
        per_step: graph.per_step.max(1),
        window: graph.window.max(1),
        workers: graph.workers.max(1),
        ..*graph
    };
    let threads = Threads { workers: graph.workers, serialize: graph.serialize, cluster };
    let measured = execute(threads, move |worker| {
        run(worker, Throughput { steps: graph.window.min(16) + 1, ..graph });
        run(worker, graph)
    })?;
    Ok(measured.into_iter().fold(Measured::default(), Measured::and))
}

/// Runs the graph on a worker to its end.
fn run(worker: &mut Worker, graph: Throughput) -> Measured {
    let measured = Rc::new(Cell::new(Measured::default()));
    worker.dataflow(|scope| build(scope, graph, &measured));
    let begun = Instant::now();
    while worker.has_dataflows() {
        worker.step_or_park(None);
    }
    Measured { seconds: begun.elapsed().as_secs_f64(), ..measured.get() }
}

fn build(scope: Scope<'_, u64>, graph: Throughput, measured: &Rc<Cell<Measured>>) {
    let course = Course::new(Span { resume: 0, end: graph.steps, every: 0 });
    let (done, behind) = scope.feedback(graph.window);
    let places = paced(scope, &course, graph.per_step, &Stop::new(), behind);
    let folded = match (graph.container, graph.exchange) {
        (Container::Records, _) => records::<Vec<u8>>(places, graph, measured),
        (Container::Bytes, _) => records::<Blob>(places, graph, measured),
        (Container::Page, true) => {
            fold_pages(pages(places, graph), DistributorPact(|_| ByPage), graph, measured)
        }
        (Container::Page, false) => fold_pages(pages(places, graph), Pipeline, graph, measured),
    };
    folded.connect_loop(done);
}

fn records<'scope, P: Payload>(
    places: StreamVec<'scope, u64, At>,
    graph: Throughput,
    measured: &Rc<Cell<Measured>>,
) -> StreamVec<'scope, u64, ()> {
    let records = places.map(move |at| {
        let key = graph.key(at);
        (key, P::new(fill(key, graph.payload_bytes)))
    });
    if graph.exchange {
        fold_records(records, Exchange::new(|(key, _): &(u64, P)| mix(*key)), graph, measured)
    } else {
        fold_records(records, Pipeline, graph, measured)
    }
}

fn fold_records<'scope, P: Payload>(
    records: StreamVec<'scope, u64, (u64, P)>,
    pact: impl ParallelizationContract<u64, Vec<(u64, P)>>,
    graph: Throughput,
    measured: &Rc<Cell<Measured>>,
) -> StreamVec<'scope, u64, ()> {
    let (measured, scope) = (Rc::clone(measured), records.scope());
    let (to, peers) = (scope.index(), scope.peers());
    records.unary::<NoopBuilder<Vec<()>>, _, _, _>(pact, "Fold", move |_, _| {
        move |input, _| {
            input.for_each(|_, records| {
                for (key, payload) in records.drain(..) {
                    measured.set(measured.get().count(&graph, key, payload.bytes(), to, peers));
                }
            });
        }
    })
}

fn pages(places: StreamVec<'_, u64, At>, graph: Throughput) -> Stream<'_, u64, Page> {
    places.unary::<NoopBuilder<Page>, _, _, _>(Pipeline, "Make", move |_, _| {
        move |input, output| {
            input.for_each(|capability, places| {
                for at in places.drain(..) {
                    let key = graph.key(at);
                    let mut page = Page::new(key, fill(key, graph.payload_bytes));
                    output.session_with_builder(&capability).give_container(&mut page);
                }
            });
        }
    })
}

fn fold_pages<'scope>(
    pages: Stream<'scope, u64, Page>,
    pact: impl ParallelizationContract<u64, Page>,
    graph: Throughput,
    measured: &Rc<Cell<Measured>>,
) -> StreamVec<'scope, u64, ()> {
    let (measured, scope) = (Rc::clone(measured), pages.scope());
    let (to, peers) = (scope.index(), scope.peers());
    pages.unary::<NoopBuilder<Vec<()>>, _, _, _>(pact, "Fold", move |_, _| {
        move |input, _| {
            input.for_each(|_, page| {
                let page = std::mem::take(page);
                measured.set(measured.get().count(&graph, page.key, page.bytes(), to, peers));
            });
        }
    })
}
