//! One pass over data: prepare, observe, evaluate, capture.
//!
//! ```text
//!          .------------- in flight ------------.
//!          v                                    |
//!        paced ==> feed --> work ==in order==> fold --> stage --> commit
//!          ^                                                        |
//!          '----------------------- uncommitted --------------------'
//! ```
//!
//! `=` crosses workers: from worker 0, which deals the places, and back to it. `feed` and `work` run on each worker,
//! `fold` and `commit` on worker 0, each of them, and the staging, on a thread of its own.
//!
//! # Several processes
//!
//! The first has worker 0, and with it the pace, the end, the state and the commits; the others are [`hand`]s,
//! which are dealt places, and send what they made of them. So the bounds and the stop are those of one process, and what
//! is folded is the same, in the same order. A process that is lost is told to the [`Halt`] of each of the others.
//!
//! [`hand`]: super::hand()
//!
//! # Frontiers
//!
//! - `fold` has passed *t*: the state at *t + 1* is made, and set aside if it is a checkpoint.
//! - `stage` has passed *t*: the parts of the checkpoint at *t* are durable.
//! - `commit` has passed *t*: the checkpoint at *t* is committed.

use timely::dataflow::Scope;
use timely::dataflow::operators::{Concat, ConnectLoop, Feedback};

use super::cluster::Cluster;
use super::run::{Once, run};
use super::{Job, Outcome, RunError, Shape};
use crate::course::Course;
use crate::failure::{Halt, once};
use crate::operators::{CommitWhole, InOrder, OnDevice, SplitFrontier, Stage, paced};
use crate::roles::{Commit, Feed, Fold, Staging, Work};
use crate::time::{At, Step, Stop};

/// The roles of a pass. `feed` and `work` are made by worker, given its index.
pub struct Pass<F, W, D, C> {
    /// Makes what reads micro-batches.
    pub feed: F,
    /// Makes what works on them.
    pub work: W,
    /// What the outputs are folded into.
    pub fold: D,
    /// What makes parts a checkpoint.
    pub commit: C,
}

/// Runs a pass from `shape.span.resume`, at which the roles' states stand.
///
/// # Errors
/// Where the workers cannot be started, or one panics. Failures of roles go to `halt`.
///
/// # Examples
/// Count the tokens of a corpus:
/// ```
/// use dataflows::graphs::{Outcome, Pass, pass};
/// use dataflows::roles::{Commit, Feed, Fold, Identity, Part, Staging};
/// use dataflows::{At, Failure, Halt, Shape, Span, Step, Stop};
///
/// struct Corpus;
/// impl Feed for Corpus {
///     type Batch = Vec<u32>;
///     fn feed(&mut self, at: At) -> Result<Vec<u32>, Failure> {
///         Ok(vec![0; 100 + at.shard as usize])
///     }
/// }
///
/// struct Count(usize);
/// impl Fold for Count {
///     type Input = Vec<u32>;
///     fn fold(&mut self, _: At, tokens: Vec<u32>) -> Result<(), Failure> {
///         self.0 += tokens.len();
///         Ok(())
///     }
///     fn part(&mut self, step: Step) -> Staging {
///         let (name, digest) = (format!("count-{step}"), self.0.to_string());
///         Box::new(|| Ok(vec![Part { stage: "count".to_owned(), name, bytes: 0, digest }]))
///     }
/// }
///
/// struct Checkpoints;
/// impl Commit for Checkpoints {
///     fn commit(&mut self, step: Step, parts: Vec<Part>) -> Result<(), Failure> {
///         assert_eq!(parts[0].digest, (201 * step.0).to_string());
///         Ok(())
///     }
/// }
///
/// let span = Span { resume: 0, end: 50, every: 20 };
/// let shape = Shape { workers: 2, shards: 2, window: 4, uncommitted: 20, span };
/// let (feed, work) = (|_| Corpus, |_| Identity::new());
/// let roles = Pass { feed, work, fold: Count(0), commit: Checkpoints };
/// let halt: Halt = std::sync::Arc::new(|_: Failure| std::process::abort());
/// assert_eq!(pass(&shape, roles, &Stop::new(), halt), Ok(Outcome::Finished));
/// ```
pub fn pass<F, W, D, C, FeedRole, WorkRole>(
    shape: &Shape,
    roles: Pass<F, W, D, C>,
    stop: &Stop,
    halt: Halt,
) -> Result<Outcome, RunError>
where
    F: Fn(usize) -> FeedRole + Send + Sync + 'static,
    W: Fn(usize) -> WorkRole + Send + Sync + 'static,
    FeedRole: Feed,
    WorkRole: Work<Batch = FeedRole::Batch>,
    D: Fold<Input = WorkRole::Output>,
    C: Commit,
{
    pass_with_hands(None, shape, roles, stop, halt)
}

/// The same, as the first process of a cluster, of which each other one is a [`hand`](super::hand()).
///
/// # Errors
/// As [`pass`].
pub fn pass_with_hands<F, W, D, C, FeedRole, WorkRole>(
    cluster: Option<Cluster>,
    shape: &Shape,
    roles: Pass<F, W, D, C>,
    stop: &Stop,
    halt: Halt,
) -> Result<Outcome, RunError>
where
    F: Fn(usize) -> FeedRole + Send + Sync + 'static,
    W: Fn(usize) -> WorkRole + Send + Sync + 'static,
    FeedRole: Feed,
    WorkRole: Work<Batch = FeedRole::Batch>,
    D: Fold<Input = WorkRole::Output>,
    C: Commit,
{
    let Pass { feed, work, fold, commit } = roles;
    let roles = Pass { feed, work, fold: Once::new(fold), commit: Once::new(commit) };
    graph(cluster, shape, roles, stop, halt)
}

/// The graph, on the workers of this process.
pub(super) fn graph<F, W, D, C, FeedRole, WorkRole>(
    cluster: Option<Cluster>,
    shape: &Shape,
    roles: Pass<F, W, Once<D>, Once<C>>,
    stop: &Stop,
    halt: Halt,
) -> Result<Outcome, RunError>
where
    F: Fn(usize) -> FeedRole + Send + Sync + 'static,
    W: Fn(usize) -> WorkRole + Send + Sync + 'static,
    FeedRole: Feed,
    WorkRole: Work<Batch = FeedRole::Batch>,
    D: Fold<Input = WorkRole::Output>,
    C: Commit,
{
    let shape = shape.at_least_one().among(cluster.as_ref().map_or(1, Cluster::processes));
    let (course, stop, halt) = (Course::new(shape.span), stop.clone(), once(halt));
    let Pass { feed, work, fold, commit } = roles;
    let (whole, cluster) = (course.clone(), cluster.map(|cluster| (cluster, Halt::clone(&halt))));
    run(shape.workers, cluster, &whole, move |scope: Scope<'_, u64>| {
        let worker = scope.index();
        let (done, in_flight) = scope.feedback(shape.window);
        let (sealed, uncommitted) = scope.feedback(shape.uncommitted);
        let behind = in_flight.concat(uncommitted);

        let (folded, progress) = paced(scope, &course, shape.shards, &stop, behind)
            .on_device("feed", &halt, Some(feeding(feed(worker))))
            .on_device("work", &halt, Some(working("work", work(worker))))
            .in_order(course.resume(), shape.shards)
            .on_device(
                "fold",
                &halt,
                fold.on(worker).map(|f| folding(f, course.clone(), shape.shards)),
            )
            .split_frontier();
        progress.connect_loop(done);

        folded
            .stage("fold", &halt)
            .commit_whole(&course, &["fold"], &halt, commit.on(worker))
            .connect_loop(sealed);
    })
}

/// The work of the feed's thread.
pub(super) fn feeding<F: Feed>(mut feed: F) -> impl Job<At, [(At, F::Batch); 1]> {
    move |at, _waited| {
        let batch = feed.feed(at).map_err(|failure| failure.at("feed", at))?;
        Ok([(at, batch)])
    }
}

/// The work of a worker's thread.
pub(super) fn working<W: Work>(
    name: &'static str,
    mut work: W,
) -> impl Job<(At, W::Batch), [(At, W::Output); 1]> {
    move |(at, batch), _waited| {
        let output = work.work(at, batch).map_err(|failure| failure.at(name, at))?;
        Ok([(at, output)])
    }
}

/// The work of the fold's thread: a state set aside after the last shard before each checkpoint.
fn folding<D: Fold>(
    mut fold: D,
    course: Course,
    shards: u32,
) -> impl Job<(At, D::Input), Option<(Step, Staging)>> {
    move |(at, input), _waited| {
        fold.fold(at, input).map_err(|failure| failure.at("fold", at))?;
        let reached = Step(at.step.0 + 1);
        let is_due = at.shard + 1 == shards && course.is_checkpoint(reached);
        Ok(is_due.then(|| (reached, fold.part(reached))))
    }
}
