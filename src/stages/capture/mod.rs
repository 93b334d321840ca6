//! What the teacher thinks of every sample of the text, kept in a cache.
//!
//! | module | its role in [`pass`](dataflows::graphs::pass) |
//! |---|---|
//! | [`groups`] | which samples are asked about together: a pure function of what was missing at the beginning |
//! | [`read`] | the samples of a group, but for those that are there by now |
//! | [`keep`] | adds what the teacher thinks to the cache |
//!
//! The stage has no checkpoint of its own. The cache's log is what it goes on from: a sample that is committed is not asked
//! about again, whoever committed it and when. For one thing it has a memory, `begun.json`: the commit that it began after.
//! By that the groups are the same however often it is stopped, and so are their padding and their rounding: the cache ends
//! with the same content, bit for bit, whatever the number of workers.

pub mod groups;
pub mod keep;
pub mod read;

use std::path::Path;
use std::sync::{Arc, Mutex};

use dataflows::graphs::{Pass, pass};
use dataflows::roles::Work;
use dataflows::{At, Failure, InProcess, Outcome, Shape, Span};
use datasets::logits::{Cache, CacheWriter, Identity, Scored, Sizes};
use datasets::store::{create_dir_all, sealed};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::context::Context;
use super::data::Data;
use super::logits::wanted::{Balance, Wanted, wanted};
use super::logits::{captured_in, whose};
use super::models;
use super::prepare::Kind;
use super::sources::{self, Opened};
use super::train::in_working_type;
use crate::error::Error;
use crate::logits::{Asked, Scorer};
use groups::Groups;
use keep::{Committed, Keeping};
use read::Reading;

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
    let balance = Balance::of(&all, &sources, then.as_ref())?;
    let groups = Groups::new(balance.missing, capture.batch_tokens);
    let steps = groups.len().div_ceil(u64::from(SHARDS));
    let total = groups.tokens();
    if steps > 0 {
        let teacher = in_working_type(ctx, &models::original(ctx, data)?);
        let scorer = Scorer { teacher, vocab_size: identity.vocab_size, profile };
        run(ctx, data, groups, steps, sources, Arc::new(now), scorer, writer)?;
    }
    finish(ctx, &dir, &identity, all.len(), total)
}

#[expect(clippy::too_many_arguments, reason = "what the roles of the graph are made of, each once")]
fn run(
    ctx: &Arc<Context>,
    data: &Data,
    groups: Groups,
    steps: u64,
    sources: Vec<Opened>,
    now: Arc<Cache>,
    scorer: Scorer,
    writer: CacheWriter,
) -> Result<(), Error> {
    if ctx.stop.requested() {
        return Err(ctx.stopped(STAGE, 0, steps));
    }
    let done = groups.tokens_in(&now);
    let (groups, sources) = (Arc::new(groups), Arc::new(sources));
    ctx.progress.begin(STAGE, "tokens", done, groups.tokens());
    let around = (data.bos, data.eos);
    let (reading, of) = (Arc::clone(&groups), Arc::clone(&sources));
    let feed = move |_| Reading::new(&reading, &of, &now, around);
    let work = move |_| Scoring { scorer: scorer.clone() };
    let shard_tokens =
        ctx.run.recipe.capture.as_ref().map_or(0, |capture| capture.shard_tokens.get());
    let writer = Arc::new(Mutex::new(writer));
    let fold = Keeping { ctx: Arc::clone(ctx), writer, shard_tokens, open: 0, done };
    let span = Span { resume: 0, end: steps, every: 0 };
    let shape =
        Shape { workers: ctx.workers, shards: SHARDS, window: WINDOW, uncommitted: WINDOW, span };
    let roles = Pass { feed, work, fold, commit: Committed };
    match pass(&shape, roles, &ctx.stop, ctx.halt(STAGE))? {
        Outcome::Finished => Ok(()),
        Outcome::Stopped { step } => Err(ctx.stopped(STAGE, step.0, steps)),
    }
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
    type Output = InProcess<Vec<Scored>>;

    fn work(&mut self, _: At, asked: Vec<Asked>) -> Result<Self::Output, Failure> {
        Ok(InProcess(self.scorer.score(asked)))
    }
}
