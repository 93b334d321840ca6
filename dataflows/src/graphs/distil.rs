//! Distillation: a student learns from a teacher, and is judged while it does.
//!
//! ```text
//!          .-------------- in flight ---------------.
//!          v                                        |
//!        paced ==> feed --> teach ==in order==> learn --reports--> record
//!         ^ ^                                    | |                ^  |
//!         | |                                    | '--> judge ------'  |
//!         | |                                    |        |            |
//!         | '------------- unjudged -------------+--------'            |
//!         |                                      v                     v
//!         |                                    stage ==> commit <== stage
//!         '----------------- uncommitted -----------------'
//! ```
//!
//! `=` crosses workers: from worker 0, which deals the places, and back to it. `feed` and `teach` run on each worker, the others on worker 0; each,
//! and each staging, on a thread of its own, except `record`, which only keeps rows.
//!
//! # Frontiers
//!
//! - `learn` has passed *t*: the update of step *t* is made. The student at *t + 1* is sent to be judged,
//!   and set aside, if it is to be.
//! - `judge` has passed *t*: the student at *t + 1* is judged, if it is to be.
//! - `record` has passed *t*: both of these, and what they said is handed over and set aside.
//! - a `stage` has passed *t*: its part of the checkpoint at *t* is durable.
//! - `commit` has passed *t*: the checkpoint at *t* is committed.
//!
//! # Bounds
//!
//! `window` steps of micro-batches and lessons. The students set aside at the checkpoints of the last
//! `uncommitted` steps: so many steps are taken beyond a checkpoint that is not sealed. Two students to be
//! judged, where `window` is at most `eval_every`: no step is begun `window + eval_every` after one that
//! made a student nobody has judged.

use std::time::Instant;

use timely::dataflow::Scope;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::{Concat, ConnectLoop, Feedback};

use super::pass::{feeding, working};
use super::run::{Once, run};
use super::{Job, Outcome, RunError, Shape};
use crate::course::Course;
use crate::failure::{Halt, once};
use crate::operators::{CommitWhole, InOrder, OnDevice, RecordRows, SplitFrontier, Stage, paced};
use crate::roles::{Commit, Feed, Judge, Learn, Record, Staging, Waits, Work};
use crate::time::{At, Step, Stop};

/// The roles of distillation. `feed` and `teach` are made by worker, given its index.
pub struct Distil<F, T, L, J, R, C> {
    /// Makes what reads micro-batches.
    pub feed: F,
    /// Makes what turns micro-batches into lessons; [`Identity`](crate::roles::Identity) for no teacher.
    pub teach: T,
    /// The student.
    pub learn: L,
    /// What judges the student.
    pub judge: J,
    /// What keeps the reports and the verdicts.
    pub record: R,
    /// What makes parts a checkpoint.
    pub commit: C,
    /// The student is judged at each multiple of it, and at the planned end; zero for only at the end.
    pub eval_every: u64,
}

/// Runs distillation from `shape.span.resume`, at which the roles' states stand.
///
/// # Errors
/// Where the workers cannot be started, or one panics. Failures of roles go to `halt`.
pub fn distil<F, T, L, J, R, C, FeedRole, TeachRole>(
    shape: &Shape,
    roles: Distil<F, T, L, J, R, C>,
    stop: &Stop,
    halt: Halt,
) -> Result<Outcome, RunError>
where
    F: Fn(usize) -> FeedRole + Send + Sync + 'static,
    T: Fn(usize) -> TeachRole + Send + Sync + 'static,
    FeedRole: Feed,
    TeachRole: Work<Batch = FeedRole::Batch>,
    L: Learn<Lesson = TeachRole::Output>,
    J: Judge<Snapshot = L::Snapshot>,
    R: Record<Report = L::Report, Verdict = J::Verdict>,
    C: Commit,
{
    let shape = shape.at_least_one();
    let (course, stop, halt) = (Course::new(shape.span), stop.clone(), once(halt));
    let Distil { feed, teach, learn, judge, record, commit, eval_every } = roles;
    let (learn, judge) = (Once::new(learn), Once::new(judge));
    let (record, commit) = (Once::new(record), Once::new(commit));
    let whole = course.clone();
    run(shape.workers, None, &whole, move |scope: Scope<'_, u64>| {
        let worker = scope.index();
        let (done, in_flight) = scope.feedback(shape.window);
        let (judged, unjudged) = scope.feedback(unjudged_steps(eval_every, shape.window));
        let (sealed, uncommitted) = scope.feedback(shape.uncommitted);
        let behind = in_flight.concat(unjudged).concat(uncommitted);
        let learning = learn.on(worker).map(|learn| {
            Learning { learn, course: course.clone(), shards: shape.shards, eval_every }.work()
        });

        let (learned, progress) = paced(scope, &course, shape.shards, &stop, behind)
            .on_device("feed", &halt, Some(feeding(feed(worker))))
            .on_device("teach", &halt, Some(working("teach", teach(worker))))
            .in_order(course.resume(), shape.shards)
            .on_device("learn", &halt, learning)
            .split_frontier();
        progress.connect_loop(done);

        let (reports, states) = learned.ok_err(|learned| match learned {
            Learned::Report(step, report, waits) => Ok((step, report, waits)),
            Learned::State(state) => Err(state),
        });
        let (snapshots, students) = states.container::<Vec<_>>().ok_err(|state| match state {
            State::ToJudge(step, snapshot) => Ok((step, snapshot)),
            State::ToStage(step, staging) => Err((step, staging)),
        });

        let (verdicts, progress) = snapshots
            .container::<Vec<_>>()
            .on_device("judge", &halt, judge.on(worker).map(judging))
            .split_frontier();
        progress.connect_loop(judged);

        let rows = reports
            .container::<Vec<_>>()
            .record_rows(verdicts, &course, record.on(worker))
            .stage("record", &halt);
        students
            .container::<Vec<_>>()
            .stage("learn", &halt)
            .concat(rows)
            .commit_whole(&course, &["learn", "record"], &halt, commit.on(worker))
            .connect_loop(sealed);
    })
}

/// How far training goes on beyond a student that is not judged. The last one stops nobody.
fn unjudged_steps(eval_every: u64, window: u64) -> u64 {
    if eval_every == 0 { u64::MAX } else { eval_every.saturating_add(window) }
}

/// What the learner's thread sends after the last micro-batch of a step.
enum Learned<P, S> {
    Report(Step, P, Waits),
    State(State<S>),
}

/// A student as it was, and what for.
enum State<S> {
    ToJudge(Step, S),
    ToStage(Step, Staging),
}

/// The learner on its thread.
struct Learning<L> {
    learn: L,
    course: Course,
    shards: u32,
    eval_every: u64,
}

impl<L: Learn> Learning<L> {
    /// The work of the thread: a micro-batch, and after the last of a step the update.
    fn work(mut self) -> impl Job<(At, L::Lesson), Vec<Learned<L::Report, L::Snapshot>>> {
        let mut waits = Waits::default();
        move |(at, lesson), waited| {
            let begun = Instant::now();
            waits.waited += waited;
            self.learn.learn(at, lesson).map_err(|failure| failure.at("learn", at))?;
            if at.shard + 1 < self.shards {
                waits.busy += begun.elapsed();
                return Ok(vec![]);
            }
            let report = self
                .learn
                .update(at.step)
                .map_err(|failure| failure.in_step("learn", at.step.0))?;
            let states = self.states(Step(at.step.0 + 1));
            waits.busy += begun.elapsed();
            let report = Learned::Report(at.step, report, std::mem::take(&mut waits));
            Ok(std::iter::once(report).chain(states.map(Learned::State)).collect())
        }
    }

    /// What is to be kept of the student with `reached` updates.
    fn states(&mut self, reached: Step) -> impl Iterator<Item = State<L::Snapshot>> + use<L> {
        let to_judge = self.course.is_judged(reached, self.eval_every);
        let to_stage = self.course.is_checkpoint(reached);
        let to_judge = to_judge.then(|| State::ToJudge(reached, self.learn.snapshot()));
        let to_stage = to_stage.then(|| State::ToStage(reached, self.learn.part(reached)));
        to_judge.into_iter().chain(to_stage)
    }
}

/// The work of the judge's thread.
fn judging<J: Judge>(mut judge: J) -> impl Job<(Step, J::Snapshot), [(Step, J::Verdict); 1]> {
    move |(step, snapshot), _waited| {
        let verdict = judge.judge(step, snapshot);
        Ok([(step, verdict.map_err(|failure| failure.in_step("judge", step.0))?)])
    }
}
