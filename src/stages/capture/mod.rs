//! What the teacher thinks of every sample of the text, kept in a cache.
//!
//! | module | its role in [`pass`](dataflows::graphs::pass) |
//! |---|---|
//! | [`groups`] | which samples are asked about together: a pure function of what was missing at the beginning |
//! | [`missing`] | these groups, of a run's text and cache |
//! | [`read`] | the samples of a group, but for those that are there by now |
//! | [`keep`] | adds what the teacher thinks to the cache |
//! | [`mod@hand`] | the pass in the other processes of a run: they read and ask, and the first one keeps |
//!
//! The stage has no checkpoint of its own. The cache's log is what it goes on from: a sample that is committed is not asked
//! about again, whoever committed it and when. For one thing it has a memory, `begun.json`: the commit that it began after.
//! By that the groups are the same however often it is stopped, and so are their padding and their rounding: the cache ends
//! with the same content, bit for bit, whatever the number of workers and of processes.

pub mod groups;
pub mod hand;
pub mod keep;
pub mod missing;
pub mod read;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dataflows::graphs::cluster::Cluster;
use dataflows::graphs::{Pass, pass_with_hands};
use dataflows::roles::Work;
use dataflows::{At, Failure, Halt, Outcome};
use datasets::logits::{Cache, CacheWriter, Identity, Scored, Sizes};
use datasets::store::{create_dir_all, sealed};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::context::Context;
use super::data::Data;
use super::hands::Hands;
use super::logits::wanted::{Wanted, wanted};
use super::logits::{captured_in, whose};
use super::models;
use super::prepare::Kind;
use super::sources::{self, Opened};
use super::train::in_working_type;
use crate::error::Error;
use crate::logits::{Asked, Scorer};
pub use hand::{Task, hand};
use keep::{Committed, Keeping};
use missing::Missing;

/// Its name.
pub const STAGE: &str = "capture";
/// Groups of a step.
const SHARDS: u32 = 8;
/// Steps in flight.
const WINDOW: u64 = 3;

/// Where the stage began.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Begun {
    /// The cache's commit then; none, if it had none.
    commit: Option<u64>,
}

/// Captures what is missing, if the recipe says so and it is not done.
///
/// # Errors
/// [`Error::Logits`] if the cache holds other logits, or cannot be written; [`Error::TooLong`] if the teacher cannot read a
/// sample as a whole; see [`Error`].
pub fn capture(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(capture) = &ctx.run.recipe.capture else { return Ok(()) };
    if ctx.run.seal(STAGE).is_some() {
        return Ok(());
    }
    let (dir, profile) = (captured_in(ctx), capture.profile()?);
    let mut identity = whose::of_run(ctx, data, &profile)?;
    if dir.exists() {
        // Refused here with what differs, before anything is read; the writer looks again.
        let there = Cache::open(&dir, None)?;
        whose::require(&identity, &there)?;
        identity = whose::as_kept(&identity, there.identity());
    }
    // The fold ends shards itself: where a group does, so that no group is there by half.
    let sizes = Sizes { shard_tokens: u64::MAX, ..Sizes::default() };
    let writer = CacheWriter::with_sizes(&dir, &identity, profile, sizes)?;
    let sources = sources::open(&ctx.run.path, &ctx.run.recipe, Kind::Train)?;
    let all = wanted(&sources, &identity, data.bos, data.eos)?;
    fits(&all, &sources, models::teacher_config(ctx, data)?.max_position_embeddings)?;
    let now = Cache::open(&dir, Some(&identity))?;
    let before = begun(ctx, &now)?;
    let then = match before.commit {
        Some(commit) => Some(Cache::open_at(&dir, Some(&identity), Some(commit))?),
        None => None,
    };
    let (found, around) = (now.commit(), (data.bos, data.eos));
    let missing =
        Missing::of(&all, sources, then.as_ref(), Some(now), capture.batch_tokens, around)?;
    let (wanted, total) = (all.len(), missing.tokens());
    drop(all);
    if missing.steps() > 0 {
        if ctx.stop.requested() {
            return Err(ctx.stopped(STAGE, 0, missing.steps()));
        }
        let task = || {
            let (groups, dtype) = (missing.digest(), hand::dtype(ctx));
            Task { began: before.commit, found, groups, dtype }
        };
        // Before the teacher is read here: they read theirs meanwhile.
        let (hands, cluster) = Hands::call(ctx, task)?;
        if cluster.is_some() {
            ctx.run.events.push("hands", json!({"stage": STAGE, "pids": hands.pids()}));
        }
        let teacher = in_working_type(ctx, &models::original(ctx, data)?);
        let scorer = Scorer { teacher, vocab_size: identity.vocab_size, profile };
        run(ctx, missing, scorer, writer, hands, cluster)?;
    }
    finish(ctx, &dir, &identity, wanted, total)
}

/// Asks about what is missing, with the hands, and keeps what the teacher says.
fn run(
    ctx: &Arc<Context>,
    missing: Missing,
    scorer: Scorer,
    writer: CacheWriter,
    hands: Hands,
    cluster: Option<Cluster>,
) -> Result<(), Error> {
    let (shape, steps, done) = (missing.shape(ctx.workers), missing.steps(), missing.done());
    ctx.progress.begin(STAGE, "tokens", done, missing.tokens());
    let feed = move |_| missing.reading();
    let work = move |_| Scoring { scorer: scorer.clone() };
    let shard_tokens =
        ctx.run.recipe.capture.as_ref().map_or(0, |capture| capture.shard_tokens.get());
    let writer = Arc::new(Mutex::new(writer));
    let fold = Keeping { ctx: Arc::clone(ctx), writer, shard_tokens, open: 0, done };
    let roles = Pass { feed, work, fold, commit: Committed };
    let hands = Arc::new(Mutex::new(hands));
    let outcome = pass_with_hands(cluster, &shape, roles, &ctx.stop, halt(ctx, &hands))?;
    hands.lock().unwrap_or_else(PoisonError::into_inner).end();
    match outcome {
        Outcome::Finished => Ok(()),
        Outcome::Stopped { step } => Err(ctx.stopped(STAGE, step.0, steps)),
    }
}

/// Ends the process where the graph cannot go on; of a hand that is lost it says how it ended.
fn halt(ctx: &Arc<Context>, hands: &Arc<Mutex<Hands>>) -> Halt {
    let (halt, hands) = (ctx.halt(STAGE), Arc::clone(hands));
    Arc::new(move |failure: Failure| {
        let failure = hands.lock().unwrap_or_else(PoisonError::into_inner).explain(failure);
        halt(failure);
    })
}

/// Says what there is now, and seals the stage.
fn finish(
    ctx: &Context,
    dir: &Path,
    identity: &Identity,
    wanted: usize,
    captured: u64,
) -> Result<(), Error> {
    let cache = Cache::open(dir, Some(identity))?;
    let stored = cache.shards().map(|(_, added)| added.shard.bytes).sum::<u64>();
    let tokens = cache.shards().map(|(_, added)| added.tokens).sum::<u64>();
    #[expect(clippy::cast_precision_loss, reason = "counts that are shown")]
    let each = stored as f64 / tokens.max(1) as f64;
    let said = format!(
        "{captured} tokens asked about; {} has {tokens}, {each:.1} bytes each",
        dir.display()
    );
    if captured > 0 {
        ctx.progress.end(&said)
    } else {
        ctx.progress.say(&format!("  {STAGE}: {said}"))
    }
    let result = json!({"samples": wanted, "tokens": captured, "commit": cache.commit()});
    ctx.run.write_seal(STAGE, result)?;
    Ok(())
}

/// Where the stage began: now, if it never did.
fn begun(ctx: &Context, now: &Cache) -> Result<Begun, Error> {
    let dir = ctx.run.path.join("checkpoints").join(STAGE);
    let path = dir.join("begun.json");
    if let Ok((begun, _)) = sealed::read::<Begun>(&path) {
        return Ok(begun);
    }
    create_dir_all(&dir)?;
    let begun = Begun { commit: now.commit() };
    sealed::write(&path, &begun)?;
    Ok(begun)
}

/// Refuses a sample that the teacher cannot read as a whole.
fn fits(all: &[Wanted], sources: &[Opened], limit: usize) -> Result<(), Error> {
    match all.iter().max_by_key(|sample| sample.tokens) {
        Some(longest) if longest.tokens as usize > limit => {
            let source_name = sources[longest.source as usize].0.clone();
            Err(Error::TooLong { source_name, found: longest.tokens, limit })
        }
        _ => Ok(()),
    }
}

/// Asks the teacher.
struct Scoring {
    scorer: Scorer,
}

impl Work for Scoring {
    type Batch = Vec<Asked>;
    type Output = Vec<Scored>;

    fn work(&mut self, _: At, asked: Vec<Asked>) -> Result<Self::Output, Failure> {
        Ok(self.scorer.score(asked))
    }
}
