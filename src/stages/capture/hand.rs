//! A process that reads and asks for the one that keeps.

use std::sync::Arc;

use dataflows::graphs::cluster::{Cluster, ClusterError};
use dataflows::graphs::hand as hand_of_pass;
use dataflows::{Failure, Halt};
use datasets::logits::Cache;
use datasets::store::Digest;
use serde::{Deserialize, Serialize};

use super::super::context::Context;
use super::super::data::Data;
use super::super::hands::HandError;
use super::super::logits::captured_in;
use super::super::logits::wanted::wanted;
use super::super::models;
use super::super::prepare::Kind;
use super::super::sources;
use super::super::train::in_working_type;
use super::missing::Missing;
use super::{STAGE, Scoring};
use crate::error::Error;
use crate::logits::Scorer;

/// What a hand is told: with the run directory, all that its groups are a function of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The cache's commit after which the stage began.
    pub began: Option<u64>,
    /// Its commit as this start of the run found it.
    pub found: Option<u64>,
    /// The digest of the groups.
    pub groups: Digest,
    /// The type of weights.
    pub dtype: String,
}

/// Reads and asks until the first process has all.
///
/// # Errors
/// [`Error::Hand`] if what it would do is not what the first process does; see [`capture`](super::capture).
pub fn hand(ctx: &Arc<Context>, task: &Task, cluster: Cluster) -> Result<(), Error> {
    let dtype = dtype(ctx);
    if dtype != task.dtype {
        return Err(HandError::Weights { expected: task.dtype.clone(), found: dtype }.into());
    }
    let Some(capture) = &ctx.run.recipe.capture else { return Ok(()) };
    let data = Data::open(ctx)?;
    let dir = captured_in(ctx);
    let began = match task.began {
        Some(commit) => Some(Cache::open_at(&dir, None, Some(commit))?),
        None => None,
    };
    // Where it was empty, it may no longer be: whose it is, is the same.
    let found = Cache::open_at(&dir, None, task.found)?;
    let identity = found.identity().clone();
    let found = task.found.map(|_| found);
    let sources = sources::open(&ctx.run.path, &ctx.run.recipe, Kind::Train)?;
    let all = wanted(&sources, &identity, data.bos, data.eos)?;
    let around = (data.bos, data.eos);
    let missing = Missing::of(&all, sources, began.as_ref(), found, capture.batch_tokens, around)?;
    drop(all);
    let (expected, found) = (task.groups, missing.digest());
    if expected != found {
        return Err(HandError::Samples { expected, found }.into());
    }
    let teacher = in_working_type(ctx, &models::original(ctx, &data)?);
    let profile = capture.profile()?;
    let scorer = Scorer { teacher, vocab_size: identity.vocab_size, profile };
    let shape = missing.shape(ctx.workers);
    let feed = move |_| missing.reading();
    let work = move |_| Scoring { scorer: scorer.clone() };
    hand_of_pass(cluster, &shape, feed, work, halt(ctx))?;
    Ok(())
}

/// The type of weights, as a task says it.
pub(super) fn dtype(ctx: &Context) -> String {
    format!("{:?}", ctx.working).to_lowercase()
}

/// Ends the process where it cannot go on. That another is lost, the first process sees as well: it says so, and this
/// one ends with it.
fn halt(ctx: &Arc<Context>) -> Halt {
    let halt = ctx.halt(STAGE);
    Arc::new(move |failure: Failure| {
        if !failure.cause.is::<ClusterError>() {
            halt(failure);
        }
    })
}
