//! Sequences out of token shards: order, packing, mixture, read ahead, and the cursor.
//!
//! What comes at an index is a function of the data and the [`Settings`]; a [`Loader`] keeps nothing but decoded
//! windows. Any number of threads may ask for any sequences.
//!
//! ```text
//! sequence g ── mixture ──> (source, index) ── order ──> (epoch, window, place in it) ── packing ──> tokens, starts
//! ```
//!
//! 1. The [`mixture`](crate::mixture) says which source sequence `g` is of, and which of the source's.
//! 2. All epochs of a source have as many sequences, so that is a sequence of an epoch. Which of the epoch's windows
//!    ([`order`](crate::order)) it begins in is a binary search over their tokens, or over their bins.
//! 3. The window, decoded, has its documents or bins in a computed order. The sequence is copied out of it, and out of
//!    the next where it reaches over its end ([`pack`](crate::pack)).
//!
//! Each source holds up to three windows: the one that is read, the one before it, and the next, which a thread decodes
//! meanwhile. [`Loader::memory_bound`] is what all may take together. A window that cannot be decoded is an error at the
//! sequences that need it, and only there; who asks again tries again.

mod ahead;
mod cache;
mod cursor;
mod epoch;
mod error;
mod groups;
mod pack_plan;
mod sequence;
mod settings;
mod shards;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use ahead::Ahead;
use stream::{Layout, Stream};

use crate::mixture::{Change, Mixture, Share};
use crate::order::ORDER_VERSION;

pub use cursor::{CURSOR_VERSION, Cursor, CursorMismatch, CursorSource, CursorStep, Difference};
pub use error::LoadError;
pub use groups::{GroupError, GroupSize, Groups};
pub use pack_plan::PackPlan;
pub use sequence::{Pieces, Sequence};
pub use settings::{DEFAULT_MEMORY_BYTES, DEFAULT_WINDOW_TOKENS, Settings, Source, Step};
pub use shards::ShardGroups;
pub use stats::SourceStats;

/// The sequences of all sources, each a function of its index.
pub struct Loader {
    mixture: Mixture,
    streams: Arc<[Stream]>,
    /// At the first sequence.
    cursor: Cursor,
    ahead: Ahead,
}

impl Loader {
    /// Mixes and packs sources. Reads nothing of them but, for best-fit packing without a plan, the lengths.
    ///
    /// # Errors
    /// [`LoadError`], for settings that cannot be, and for a source that has too little or cannot be read.
    pub fn open(sources: Vec<Source>, settings: &Settings) -> Result<Self, LoadError> {
        let layout = layout(settings)?;
        let count = sources.len().max(1) as u64;
        let window_tokens = settings.window_tokens.unwrap_or(DEFAULT_WINDOW_TOKENS / count).max(1);
        let cursor = first(&sources, settings, window_tokens);
        let share = |source: &Source| Share {
            name: source.name.clone(),
            weight: source.weight,
            sequences: None,
        };
        let mut shares: Vec<Share> = sources.iter().map(share).collect();
        let change = |step: &Step| Change {
            from: step.from_tokens.div_ceil(u64::from(layout.seq_tokens)),
            weights: step.weights.clone(),
        };
        let schedule: Vec<Change> = settings.schedule.iter().map(change).collect();
        // Before the lengths of all documents are read.
        Mixture::check(&shares, &schedule)?;
        let streams = sources
            .into_iter()
            .map(|source| Stream::new(source, settings, layout, window_tokens))
            .collect::<Result<Vec<_>, _>>()?;
        for (share, stream) in shares.iter_mut().zip(&streams) {
            share.sequences = stream.epochs.map(|epochs| epochs.saturating_mul(stream.per_epoch));
        }
        let mixture = Mixture::new(&shares, &schedule)?;
        let three: u64 = streams.iter().map(|stream| 3 * stream.largest_window).sum();
        let slots = if three <= settings.memory_bytes { 3 } else { 2 };
        let streams: Arc<[Stream]> =
            streams.into_iter().map(|stream| stream.with_slots(slots)).collect();
        let ahead = Ahead::start(&streams, settings.read_ahead)
            .map_err(|source| LoadError::Thread { source: Arc::new(source) })?;
        Ok(Self { mixture, streams, cursor, ahead })
    }

    /// Fills `out`, whose memory is used again, with sequence `index` of the run.
    ///
    /// # Errors
    /// [`LoadError`] if there is no such sequence, or if a row group that it needs cannot be read or is not what it was
    /// said to be. `out` then holds nothing of use.
    pub fn fill(&self, index: u64, out: &mut Sequence) -> Result<(), LoadError> {
        let place = self.mixture.at(index).ok_or_else(|| LoadError::PastEnd {
            index,
            num_sequences: self.mixture.num_sequences().unwrap_or(u64::MAX),
        })?;
        out.source = place.source;
        let stream = &self.streams[usize::from(place.source)];
        stream.fill(place.index, out, &|window| self.ahead.ask(place.source, window))
    }

    /// How many sequences there are; `None` if a source repeats for ever.
    pub fn num_sequences(&self) -> Option<u64> {
        self.mixture.num_sequences()
    }

    /// How many sequences an epoch of each source has.
    pub fn sequences_per_epoch(&self) -> Vec<u64> {
        self.streams.iter().map(|stream| stream.per_epoch).collect()
    }

    /// The names of the sources, in their order.
    pub fn source_names(&self) -> impl Iterator<Item = &str> {
        self.streams.iter().map(|stream| &*stream.name)
    }

    /// The order of the sources.
    pub fn mixture(&self) -> &Mixture {
        &self.mixture
    }

    /// The plans of best-fit packing, to be kept for the next time; none of concatenation.
    pub fn pack_plans(&self) -> impl Iterator<Item = &PackPlan> {
        self.streams.iter().filter_map(|stream| stream.pack_plan.as_ref())
    }

    /// The place before sequence `next`.
    pub fn cursor(&self, next: u64) -> Cursor {
        Cursor { next_sequence: next, ..self.cursor.clone() }
    }

    /// Checks that a cursor is a place in the order of this loader.
    ///
    /// # Errors
    /// [`CursorMismatch`] with everything that differs.
    pub fn check(&self, cursor: &Cursor) -> Result<(), CursorMismatch> {
        let mut fields = cursor::differences(cursor, &self.cursor);
        if let Some(all) = self.num_sequences().filter(|all| cursor.next_sequence > *all) {
            let (expected, found) = (cursor.next_sequence.to_string(), format!("at most {all}"));
            fields.push(Difference { field: "next_sequence".to_owned(), expected, found });
        }
        if fields.is_empty() { Ok(()) } else { Err(CursorMismatch { fields }) }
    }

    /// What was read and given so far, by source.
    pub fn stats(&self) -> Vec<SourceStats> {
        self.streams.iter().map(|stream| stream.stats()).collect()
    }

    /// The memory in bytes that the loader holds at most, whatever is asked for: decoded windows, plans and the mixture.
    /// What [`Groups::read`] needs while it reads is not in it, nor are the caller's sequences.
    pub fn memory_bound(&self) -> u64 {
        let windows = |stream: &Stream| stream.cache.max_slots() as u64 * stream.largest_window;
        self.mixture.bytes()
            + self.streams.iter().map(|stream| windows(stream) + stream.plan_bytes()).sum::<u64>()
    }

    /// The memory of [`memory_bound`](Self::memory_bound) that is held now.
    pub fn memory_held(&self) -> u64 {
        let held = |stream: &Stream| stream.cache.bytes() + stream.plan_bytes();
        self.mixture.bytes() + self.streams.iter().map(held).sum::<u64>()
    }
}

fn layout(settings: &Settings) -> Result<Layout, LoadError> {
    let Settings { seq_tokens, bos, eos, vocab_size, packing: method, .. } = *settings;
    let length = u32::try_from(seq_tokens).ok().filter(|tokens| (1..u32::MAX).contains(tokens));
    let seq_tokens = length.ok_or(LoadError::SequenceLength { found: seq_tokens })?;
    for (what, token) in [("bos", bos), ("eos", eos)] {
        if let Some(token) = token.filter(|token| *token >= vocab_size) {
            return Err(LoadError::SpecialToken { what, token, vocab_size });
        }
    }
    let around = u32::from(bos.is_some()) + u32::from(eos.is_some());
    Ok(Layout { method, seq_tokens, bos, eos, around, vocab_size })
}

fn first(sources: &[Source], settings: &Settings, window_tokens: u64) -> Cursor {
    let source = |source: &Source| CursorSource {
        name: source.name.clone(),
        digest: source.groups.digest(),
        weight: source.weight.to_string(),
        epochs: source.epochs,
    };
    let weights = |weights: &[(String, f64)]| {
        weights.iter().map(|(name, weight)| (name.clone(), weight.to_string())).collect()
    };
    let step =
        |step: &Step| CursorStep { from_tokens: step.from_tokens, weights: weights(&step.weights) };
    Cursor {
        version: CURSOR_VERSION,
        order_version: ORDER_VERSION,
        sources: sources.iter().map(source).collect(),
        seed: settings.seed,
        shuffle: settings.shuffle,
        window_tokens,
        seq_tokens: settings.seq_tokens as u64,
        packing: settings.packing,
        bos: settings.bos,
        eos: settings.eos,
        schedule: settings.schedule.iter().map(step).collect(),
        next_sequence: 0,
    }
}
