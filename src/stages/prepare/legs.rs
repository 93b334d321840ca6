//! A pass over the text in legs: each ends with a checkpoint, and only there the pass stops. A leg does not wait for
//! the one before to be durable.

use std::sync::Arc;

use dataflows::roles::{Fold, Work};
use datasets::store::{Checkpoint, Checkpoints, Digest, sealed};
use serde::de::DeserializeOwned;

use super::CHUNKS;
use super::read::{Corpora, Documents, Reading};
use crate::error::Error;
use crate::stages::context::Context;
use crate::stages::passes::{PassOver, pass_over};

/// Steps a leg: some 64 MiB of text.
const LEG: u64 = 16;

/// Runs what is left of a pass, and gives the state at its end: `none` if there is no text.
///
/// `read` reads the state of a checkpoint, `fold` makes of it what the outputs of `work` are folded into.
///
/// # Errors
/// As [`pass_over`]; what `read` returns.
pub(super) fn in_legs<S: Clone, W, D>(
    ctx: &Arc<Context>,
    stage: &'static str,
    corpora: &Arc<Corpora>,
    none: S,
    read: impl Fn(&Checkpoint) -> Result<S, Error>,
    work: W,
    fold: impl Fn(S, Arc<Checkpoints>) -> D,
) -> Result<S, Error>
where
    W: Work<Batch = Option<Documents>> + Clone + Sync,
    D: Fold<Input = W::Output>,
{
    let chunks = corpora.num_chunks();
    let steps = chunks.div_ceil(u64::from(CHUNKS));
    ctx.progress.begin(stage, "chunks", 0, chunks);
    if steps == 0 {
        return Ok(none);
    }
    let form = PassOver { stage, steps, shards: CHUNKS, every: LEG };
    let feeding = Arc::clone(corpora);
    let (feed, work) = (move |_| Reading::new(&feeding), move |_| work.clone());
    let begin = |checkpoint: Option<&Checkpoint>, checkpoints| {
        Ok(fold(checkpoint.map_or_else(|| Ok(none.clone()), &read)?, checkpoints))
    };
    let checkpoint = pass_over(ctx, form, feed, work, begin, &ctx.stop.at_checkpoints())?;
    read(&checkpoint)
}

/// Reads the state of a checkpoint, which must be of the same text.
///
/// # Errors
/// [`Error::InputChanged`] if it is of another; [`Error::Store`] if it cannot be read.
pub(super) fn read_state<S: DeserializeOwned>(
    checkpoint: &Checkpoint,
    name: &str,
    corpus: impl Fn(&S) -> Digest,
    found: Digest,
) -> Result<S, Error> {
    let (state, _) = sealed::read::<S>(&checkpoint.dir.join(name))?;
    let expected = corpus(&state);
    if expected != found {
        return Err(Error::InputChanged { what: "the text".to_owned(), expected, found });
    }
    Ok(state)
}
