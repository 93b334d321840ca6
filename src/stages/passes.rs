//! A stage that is one pass over data: resume, run the graph, and give the checkpoint at its end.

use std::sync::Arc;

use dataflows::graphs::{Pass, pass};
use dataflows::roles::{Feed, Fold, Work};
use dataflows::{Outcome, Shape, Span, Stop};
use datasets::store::{Checkpoint, Checkpoints};
use serde_json::json;

use super::commit::Committing;
use super::context::Context;
use crate::error::Error;

/// Steps in flight.
const WINDOW: u64 = 3;

/// The form of a pass.
#[derive(Clone, Copy, Debug)]
pub struct PassOver {
    /// The stage.
    pub stage: &'static str,
    /// All steps.
    pub steps: u64,
    /// Micro-batches of a step.
    pub shards: u32,
    /// Steps between checkpoints.
    pub every: u64,
}

/// Runs what is left of a pass. `fold` makes the state from the newest checkpoint, or anew.
///
/// # Errors
/// [`Error::Stopped`] if it was asked to stop; what `fold` returns; [`Error::NoCheckpoint`] if the end is not there.
pub fn pass_over<F, W, D, FeedRole, WorkRole>(
    ctx: &Arc<Context>,
    form: PassOver,
    feed: F,
    work: W,
    fold: impl FnOnce(Option<&Checkpoint>, Arc<Checkpoints>) -> Result<D, Error>,
    stop: &Stop,
) -> Result<Checkpoint, Error>
where
    F: Fn(usize) -> FeedRole + Send + Sync + 'static,
    W: Fn(usize) -> WorkRole + Send + Sync + 'static,
    FeedRole: Feed,
    WorkRole: Work<Batch = FeedRole::Batch>,
    D: Fold<Input = WorkRole::Output>,
{
    let PassOver { stage, steps, shards, every } = form;
    let (checkpoints, newest) = ctx.run.checkpoints(stage)?;
    let checkpoints = Arc::new(checkpoints);
    let resume = newest.as_ref().map_or(0, |checkpoint| checkpoint.step);
    if resume < steps {
        if stop.requested() {
            return Err(ctx.stopped(stage, resume, steps));
        }
        if resume > 0 {
            ctx.run.events.push("goes on", json!({"stage": stage, "step": resume}));
        }
        let fold = fold(newest.as_ref(), Arc::clone(&checkpoints))?;
        let commit = Committing {
            ctx: Arc::clone(ctx),
            stage,
            checkpoints: Arc::clone(&checkpoints),
            keep: 2,
            then: Box::new(|_| Ok(())),
        };
        let span = Span { resume, end: steps, every };
        let shape =
            Shape { workers: ctx.workers, shards, window: WINDOW, uncommitted: every.max(1), span };
        match pass(&shape, Pass { feed, work, fold, commit }, stop, ctx.halt(stage))? {
            Outcome::Finished => {}
            Outcome::Stopped { step } => return Err(ctx.stopped(stage, step.0, steps)),
        }
    }
    let found = checkpoints.newest()?.checkpoint.filter(|checkpoint| checkpoint.step >= steps);
    found.ok_or_else(|| ctx.run.no_checkpoint(stage))
}
