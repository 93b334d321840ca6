//! The lessons of `[distil]` out of a cache: no teacher is asked, or only about what is not there.
//!
//! A sample that the teacher is asked about meanwhile is asked about alone, and what the student learns from is what the
//! cache will give back of it: so a run that is killed, and finds other samples cached than before, learns the same.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datasets::loader::Pieces;
use datasets::logits::{Cache, CacheWriter, Identity, LogitError, Names, Profile, Reader, Scored};
use datasets::shard::SampleId;
use kernels::loss::{Objective, Rest, Sparse};

use super::super::context::Context;
use super::super::data::Data;
use super::super::prepare::Kind;
use super::super::{models, sources};
use super::wanted::{Balance, wanted};
use super::{read_from, whose};
use crate::distill::Batch;
use crate::error::Error;
use crate::logits::{Asked, Lessons, Scorer, sparse};
use crate::model::{Decoder, ModelConfig};
use crate::recipe::Missing;
use crate::stages::train::in_working_type;

/// Decoded row groups that are kept, by all workers together.
const READER_BYTES: usize = 1 << 30;

/// Where a stage's lessons come from; cheap to clone.
#[derive(Clone)]
pub struct Cached {
    cache: Arc<Cache>,
    names: Names,
    k: Option<u32>,
    treatment: Rest,
    budget: usize,
    asking: Option<Arc<Asking>>,
}

/// A teacher for what is not in the cache.
struct Asking {
    scorer: Scorer,
    identity: Identity,
    state: Mutex<Answers>,
}

struct Answers {
    writer: CacheWriter,
    /// What was asked in this process, as the cache gives it back.
    known: HashMap<SampleId, Arc<Scored>>,
}

impl Asking {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the cache that the recipe reads, if it reads one; nothing is trained before it is whole and of this teacher.
///
/// # Errors
/// [`Error::Logits`] if it holds other logits or too few words, [`Error::NotCached`] if samples are missing,
/// [`Error::Sparse`] if a loss cannot be had of it.
pub fn open(
    ctx: &Context,
    data: &Data,
    student: &ModelConfig,
    objective: &Objective,
) -> Result<Option<Cached>, Error> {
    let (Some(logits), Some(dir)) = (&ctx.run.recipe.logits, read_from(ctx)) else {
        return Ok(None);
    };
    let asks = logits.missing == Missing::Ask;
    let named = ctx.run.recipe.capture.as_ref().map(|capture| capture.profile()).transpose()?;
    let mut profile = named.unwrap_or_default();
    let expected = whose::of_run(ctx, data, &profile)?;
    if asks && !dir.exists() {
        // Made, so that there is something to open.
        CacheWriter::open(&dir, &expected, profile)?;
    }
    let cache = Cache::open(&dir, None)?.whole()?;
    whose::require(&expected, &cache)?;
    if let Some((_, added)) = cache.shards().last() {
        profile = added.profile;
    }
    let sources = sources::open(&ctx.run.path, &ctx.run.recipe, Kind::Train)?;
    let wanted = wanted(&sources, cache.identity(), data.bos, data.eos)?;
    let balance = Balance::of(&wanted, &sources, Some(&cache))?;
    if !asks {
        balance.require_whole(&dir)?;
    }
    let is_sampled = cache.identity().sampled;
    if let Some(asked) = logits.k {
        if is_sampled {
            return Err(LogitError::Sampled { path: dir, asked }.into());
        }
        let most = cache.identity().vocab_size;
        let kept = |id| cache.entry(id).map_or(profile.most(), |entry| entry.profile.most());
        if let Some(few) = wanted.iter().find(|w| kept(w.id).min(most) < asked.min(most)) {
            let stored = kept(few.id);
            return Err(LogitError::TooFew { path: dir, id: few.id, stored, asked }.into());
        }
    }
    let treatment = if is_sampled { Rest::Sampled } else { Rest::Ghost };
    let none =
        Sparse { k: 1, ids: vec![], log_probs: vec![], rest: vec![], temperature: 1.0, treatment };
    none.check(student.vocab_size, objective)?;
    let asking = match asks {
        true => Some(Arc::new(asking(ctx, data, &dir, &cache, profile)?)),
        false => None,
    };
    let (have, all) = (wanted.len() - balance.missing.len().min(wanted.len()), wanted.len());
    ctx.progress
        .say(&format!("the teacher is read from {}: {have} of {all} samples", dir.display()));
    let names = cache.identity().names();
    let budget = READER_BYTES / ctx.workers.max(1);
    Ok(Some(Cached { cache: Arc::new(cache), names, k: logits.k, treatment, budget, asking }))
}

fn asking(
    ctx: &Context,
    data: &Data,
    dir: &Path,
    cache: &Cache,
    profile: Profile,
) -> Result<Asking, Error> {
    let teacher = in_working_type(ctx, &models::original(ctx, data)?);
    let identity = cache.identity().clone();
    let scorer = Scorer { teacher, vocab_size: identity.vocab_size, profile };
    let writer = CacheWriter::open(dir, &identity, profile)?;
    let state = Mutex::new(Answers { writer, known: HashMap::new() });
    Ok(Asking { scorer, identity, state })
}

impl Cached {
    /// The teacher, where one is in memory.
    pub fn teacher(&self) -> Option<&Decoder> {
        self.asking.as_ref().map(|asking| &asking.scorer.teacher)
    }

    /// What reads it in one worker.
    pub fn reading(&self) -> Reading {
        let reader = Reader::new(Arc::clone(&self.cache), self.budget);
        Reading { source: self.clone(), reader }
    }

    /// Commits what was asked.
    ///
    /// # Errors
    /// [`Error::Logits`] if it cannot be written.
    pub fn commit(&self) -> Result<(), Error> {
        if let Some(asking) = &self.asking {
            asking.answers().writer.commit()?;
        }
        Ok(())
    }
}

/// Reads lessons, in one worker.
pub struct Reading {
    source: Cached,
    reader: Reader,
}

impl Reading {
    /// What the loss takes for a micro-batch: see [`sparse`].
    ///
    /// # Errors
    /// [`LogitError`] if a sample is not there, or its shard is damaged.
    pub fn lesson(
        &mut self,
        batch: &mut Batch,
        pieces: &[(Vec<u32>, Pieces)],
    ) -> Result<Sparse, LogitError> {
        let (names, treatment) = (self.source.names.clone(), self.source.treatment);
        sparse(self, &names, batch, pieces, treatment)
    }
}

impl Lessons for Reading {
    fn of(&mut self, id: SampleId, tokens: &[u32]) -> Result<Scored, LogitError> {
        let k = self.source.k;
        let Some(asking) = self.source.asking.as_ref().filter(|_| !self.source.cache.contains(id))
        else {
            return self.reader.get(id, k);
        };
        if let Some(known) = asking.answers().known.get(&id) {
            return Ok(Scored::clone(known));
        }
        let asked = Asked { id, source: "asked while distilling".into(), tokens: tokens.to_vec() };
        let mut scored = asking.scorer.score(vec![asked]);
        let Some(scored) = scored.pop() else {
            return self.reader.get(id, k);
        };
        let stored = asking.identity.as_stored(&scored, &asking.scorer.profile, k)?;
        let mut answers = asking.answers();
        // Another worker may have asked meanwhile, and heard the same.
        if !answers.known.contains_key(&id) {
            answers.writer.push(&scored)?;
            answers.known.insert(id, Arc::new(stored.clone()));
        }
        Ok(stored)
    }
}
