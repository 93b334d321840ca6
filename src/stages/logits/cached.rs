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
use crate::recipe::{self, Missing};
use crate::stages::train::in_working_type;

/// Decoded row groups that are kept, by all workers together.
const READER_BYTES: usize = 1 << 30;
/// Answers that are kept until they are committed and read back like all others.
const ANSWER_BYTES: usize = 1 << 30;

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
    /// What is not there yet, as the cache will give it back, and its bytes.
    known: HashMap<SampleId, Arc<Scored>>,
    bytes: usize,
    /// As many bytes are kept.
    most: usize,
    /// The cache with what was.
    cache: Arc<Cache>,
}

impl Answers {
    /// Keeps one; commits all, and forgets them, where they have become many.
    fn keep(&mut self, scored: &Scored, stored: Scored) -> Result<(), LogitError> {
        self.writer.push(scored)?;
        self.bytes += stored.bytes();
        self.known.insert(stored.id, Arc::new(stored));
        if self.bytes >= self.most {
            self.writer.commit()?;
            self.cache = Arc::new(Cache::open(self.cache.path(), Some(self.cache.identity()))?);
            self.known.clear();
            self.bytes = 0;
        }
        Ok(())
    }
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
            let asked = format!("`logits.k = {asked}`");
            return Err(LogitError::Sampled { path: dir, asked }.into());
        }
        let most = cache.identity().vocab_size;
        let kept = |id| cache.entry(id).map_or(profile.most(), |entry| entry.profile.most());
        if let Some(few) = wanted.iter().find(|w| kept(w.id).min(most) < asked.min(most)) {
            let stored = kept(few.id);
            return Err(LogitError::TooFew { path: dir, id: few.id, stored, asked }.into());
        }
    }
    let treatment = match logits.rest {
        Some(_) if is_sampled => {
            let asked = "`logits.rest`".to_owned();
            return Err(LogitError::Sampled { path: dir, asked }.into());
        }
        None if is_sampled => Rest::Sampled,
        None | Some(recipe::logits::Rest::Ghost) => Rest::Ghost,
        Some(recipe::logits::Rest::Renormalise) => Rest::Renormalise,
        Some(recipe::logits::Rest::Subset) => Rest::Subset,
    };
    let none =
        Sparse { k: 1, ids: vec![], log_probs: vec![], rest: vec![], temperature: 1.0, treatment };
    none.check(student.vocab_size, objective)?;
    let cache = Arc::new(cache);
    let asking = match asks {
        true => Some(Arc::new(asking(ctx, data, &dir, &cache, profile)?)),
        false => None,
    };
    let (have, all) = (wanted.len() - balance.missing.len().min(wanted.len()), wanted.len());
    ctx.progress
        .say(&format!("the teacher is read from {}: {have} of {all} samples", dir.display()));
    let names = cache.identity().names();
    let budget = READER_BYTES / ctx.workers.max(1);
    Ok(Some(Cached { cache, names, k: logits.k, treatment, budget, asking }))
}

fn asking(
    ctx: &Context,
    data: &Data,
    dir: &Path,
    cache: &Arc<Cache>,
    profile: Profile,
) -> Result<Asking, Error> {
    let teacher = in_working_type(ctx, &models::original(ctx, data)?);
    let identity = cache.identity().clone();
    let scorer = Scorer { teacher, vocab_size: identity.vocab_size, profile };
    let writer = CacheWriter::open(dir, &identity, profile)?;
    let (known, cache) = (HashMap::new(), Arc::clone(cache));
    let answers = Answers { writer, known, bytes: 0, most: ANSWER_BYTES, cache };
    Ok(Asking { scorer, identity, state: Mutex::new(answers) })
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
        let Some(asking) = self.source.asking.as_ref() else { return self.reader.get(id, k) };
        if self.reader.cache().contains(id) {
            return self.reader.get(id, k);
        }
        let answers = asking.answers();
        if let Some(known) = answers.known.get(&id) {
            return Ok(Scored::clone(known));
        }
        if answers.cache.contains(id) {
            self.reader = Reader::new(Arc::clone(&answers.cache), self.source.budget);
            drop(answers);
            return self.reader.get(id, k);
        }
        drop(answers);
        let asked = Asked { id, source: "asked while distilling".into(), tokens: tokens.to_vec() };
        let mut scored = asking.scorer.score(vec![asked]);
        let Some(scored) = scored.pop() else {
            return self.reader.get(id, k);
        };
        let stored = asking.identity.as_stored(&scored, &asking.scorer.profile, k)?;
        let mut answers = asking.answers();
        // Another worker may have asked meanwhile, and heard the same.
        if !answers.known.contains_key(&id) && !answers.cache.contains(id) {
            answers.keep(&scored, stored.clone())?;
        }
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use kernels::device::choose;

    use super::*;
    use crate::logits::fixture::{config, identity};
    use crate::weights::initialise;

    fn asking(dir: &Path, most: usize) -> Cached {
        let device = choose("cpu".parse().unwrap()).unwrap().device;
        let (profile, identity) = (Profile::top(4), identity());
        let dir = dir.join("logits");
        let writer = CacheWriter::open(&dir, &identity, profile).unwrap();
        let cache = Arc::new(Cache::open(&dir, Some(&identity)).unwrap());
        let (known, names) = (HashMap::new(), identity.names());
        let answers = Answers { writer, known, bytes: 0, most, cache: Arc::clone(&cache) };
        let teacher = initialise(&config(), 3, &device);
        let scorer = Scorer { teacher, vocab_size: 40, profile };
        let asking = Some(Arc::new(Asking { scorer, identity, state: Mutex::new(answers) }));
        Cached { cache, names, k: None, treatment: Rest::Ghost, budget: 1 << 20, asking }
    }

    #[test]
    fn answers_are_the_same_from_memory_from_the_cache_and_to_another_worker() {
        let dir = tempfile::tempdir().unwrap();
        // Room for two answers of nine tokens and four words.
        let cached = asking(dir.path(), 900);
        let (mut one, mut other) = (cached.reading(), cached.reading());
        let documents: Vec<Vec<u32>> =
            (0..5).map(|n| (0..9).map(|i| (i * 7 + n) % 30).collect()).collect();
        let id = |document: &Vec<u32>| cached.names.of(document);
        let first: Vec<Scored> = documents.iter().map(|d| one.of(id(d), d).unwrap()).collect();
        let answers = cached.asking.as_ref().unwrap().answers();
        let there = documents.iter().filter(|d| answers.cache.contains(id(d))).count();
        assert!(there >= 2, "{there} of 5 were committed on the way");
        assert_eq!(there + answers.known.len(), 5, "what is committed is forgotten");
        assert!(answers.bytes < 900);
        drop(answers);
        cached.commit().unwrap();
        for reading in [&mut one, &mut other] {
            for (document, first) in documents.iter().zip(&first) {
                let again = reading.of(id(document), document).unwrap();
                assert_eq!((&again.ids, &again.log_probs), (&first.ids, &first.log_probs));
                assert_eq!((&again.tail, &again.label), (&first.tail, &first.label));
            }
        }
    }
}
