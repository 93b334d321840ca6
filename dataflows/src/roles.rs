//! What the stages do: the traits that the root implements, and a test replaces with ten lines.
//!
//! A role's state at step *t* is a function of what it was handed for the steps `< t`, and of nothing else.
//! Roles run on device threads, except [`Record`], which only keeps rows and runs on a worker. Those that
//! exist once live on worker 0; [`Feed`] and [`Work`] are made once a worker, by a factory.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::time::{At, Step};

/// What may travel between workers. In one process it is handed over as it is, and not serialised;
/// wrap what cannot be serialised in [`InProcess`](crate::InProcess).
pub trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<M: Serialize + DeserializeOwned + Send + 'static> Message for M {}

/// Reads the micro-batch of a place: a pure function of the place.
pub trait Feed: Send + 'static {
    /// A micro-batch. It does not leave its worker.
    type Batch: Send + 'static;

    /// The micro-batch at `at`.
    ///
    /// # Errors
    /// A failure ends the run.
    fn feed(&mut self, at: At) -> Result<Self::Batch, Failure>;
}

/// Work on one micro-batch that depends on no other: tokenise, ask the teacher, observe, judge.
pub trait Work: Send + 'static {
    /// A micro-batch.
    type Batch: Send + 'static;
    /// What is made of it.
    type Output: Message;

    /// Works on the micro-batch at `at`.
    ///
    /// # Errors
    /// A failure ends the run.
    fn work(&mut self, at: At, batch: Self::Batch) -> Result<Self::Output, Failure>;
}

/// No work: the micro-batch as it is, as for training without a teacher.
#[derive(Clone, Copy, Debug)]
pub struct Identity<B>(std::marker::PhantomData<fn(B)>);

impl<B> Identity<B> {
    /// No work.
    pub fn new() -> Self {
        Identity(std::marker::PhantomData)
    }
}

impl<B> Default for Identity<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Message> Work for Identity<B> {
    type Batch = B;
    type Output = B;

    fn work(&mut self, _: At, batch: B) -> Result<B, Failure> {
        Ok(batch)
    }
}

/// A state that outputs are folded into, in the order of their places.
pub trait Fold: Send + 'static {
    /// What is folded in.
    type Input: Message;

    /// Folds in the input of the next place.
    ///
    /// # Errors
    /// A failure ends the run.
    fn fold(&mut self, at: At, input: Self::Input) -> Result<(), Failure>;

    /// The state at `step`, set aside; called when all of the steps before it are in and none after.
    fn part(&mut self, step: Step) -> Staging;
}

/// The student: gradients by micro-batch, an update by step.
pub trait Learn: Send + 'static {
    /// A micro-batch with what the teacher said about it.
    type Lesson: Message;
    /// What is known of a step after its update: losses, norms, rates.
    type Report: Send + 'static;
    /// The student as it is judged.
    type Snapshot: Send + 'static;

    /// Adds the gradients of one micro-batch; called in the order of the shards.
    ///
    /// # Errors
    /// A failure ends the run.
    fn learn(&mut self, at: At, lesson: Self::Lesson) -> Result<(), Failure>;

    /// Updates the weights, after the last micro-batch of `step`.
    ///
    /// # Errors
    /// A failure ends the run.
    fn update(&mut self, step: Step) -> Result<Self::Report, Failure>;

    /// The student as it is now, to be judged while training goes on.
    fn snapshot(&mut self) -> Self::Snapshot;

    /// The state at `step`, set aside: all updates before it, and none after.
    fn part(&mut self, step: Step) -> Staging;
}

/// Judges a student.
pub trait Judge: Send + 'static {
    /// The student as it was.
    type Snapshot: Send + 'static;
    /// What it is worth.
    type Verdict: Send + 'static;

    /// Judges the student that has `step` updates.
    ///
    /// # Errors
    /// A failure ends the run.
    fn judge(&mut self, step: Step, snapshot: Self::Snapshot) -> Result<Self::Verdict, Failure>;
}

/// Keeps what is known of the steps, until it is staged.
///
/// Reports come in the order of the steps, and so do verdicts. Between the two no order is promised, so
/// state that is to be the same in each run keeps them apart. When a part is asked for, all reports of
/// steps `< step` and all verdicts of steps `<= step` are in, and none after.
pub trait Record: Send + 'static {
    /// What is known of a step.
    type Report: Send + 'static;
    /// What a student is worth.
    type Verdict: Send + 'static;

    /// Keeps the report of a step. The waits are wall clock: show them, but keep them out of the state.
    fn report(&mut self, step: Step, report: Self::Report, waits: Waits);

    /// Keeps the verdict on the student that has `step` updates.
    fn verdict(&mut self, step: Step, verdict: Self::Verdict);

    /// The rows so far, set aside.
    fn part(&mut self, step: Step) -> Staging;
}

/// Makes durable parts a checkpoint.
pub trait Commit: Send + 'static {
    /// Commits the checkpoint at `step`. Checkpoints are committed in order, one at a time.
    ///
    /// # Errors
    /// A failure ends the run.
    fn commit(&mut self, step: Step, parts: Vec<Part>) -> Result<(), Failure>;
}

/// State set aside at a checkpoint, to be made durable on a thread of its own while work goes on.
///
/// It owns what it writes: a cheap clone of the state.
pub type Staging = Box<dyn FnOnce() -> Result<Vec<Part>, Failure> + Send>;

/// A piece of a checkpoint that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The stage whose state it is.
    pub stage: String,
    /// Its name in the checkpoint.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The digest of its content.
    pub digest: String,
}

/// How the learner's thread spent a step, by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Without a lesson to learn: the data or the teacher is what is slow.
    pub waited: Duration,
    /// Learning.
    pub busy: Duration,
}
