//! The measurements themselves, each one loop.

use std::hint::black_box;
use std::sync::Arc;

use datasets::TokenLists;
use datasets::loader::{Loader, Sequence, Settings, ShardGroups, Source};
use datasets::shard::Shards;

use super::measurement::{Measurement, Watch};
use super::shards::bytes_per_token;
use crate::error::Error;

/// Copies tokens from memory to a batch of 1 MiB that is used again: what no loader is faster than.
#[must_use]
pub fn memory_copy(tokens: &[u32]) -> Measurement {
    let mut batch = vec![0u32; 1 << 18];
    let mut watch = Watch::start();
    for chunk in tokens.chunks(batch.len()) {
        batch[..chunk.len()].copy_from_slice(chunk);
        black_box(&batch);
        watch.batch();
    }
    watch.stop(tokens.len() as u64)
}

/// Reads every row group into memory, verified, on this thread.
///
/// # Errors
/// See [`Error`].
pub fn decode(shards: &Shards) -> Result<Measurement, Error> {
    let groups = shards.groups();
    let mut lists = TokenLists::default();
    let (mut watch, mut tokens) = (Watch::start(), 0);
    for group in groups {
        lists.clear();
        shards.read_tokens(group.shard, group.row_group, &mut lists)?;
        tokens += black_box(&lists).tokens.len() as u64;
        watch.batch();
    }
    let measured = watch.stop(tokens);
    Ok(Measurement { bytes_per_token: bytes_per_token(shards), ..measured })
}

/// The settings that loader measurements begin with: a global shuffle, packed with the starts of documents.
#[must_use]
pub fn settings(shards: &Shards, seq_tokens: usize) -> Settings {
    let header = shards.header();
    let mut settings = Settings::new(seq_tokens, header.vocab_size);
    (settings.bos, settings.eos) = (header.bos_id, header.eos_id);
    settings
}

/// A loader over shards.
///
/// # Errors
/// See [`Error`].
pub fn loader(shards: &Arc<Shards>, settings: &Settings) -> Result<Loader, Error> {
    let source = Source {
        name: "tokens".into(),
        groups: Arc::new(ShardGroups::new(Arc::clone(shards))),
        weight: 1.0,
        epochs: None,
        pack_plan: None,
    };
    Ok(Loader::open(vec![source], settings)?)
}

/// Takes an epoch of sequences from a loader, with as many threads that each take every so-manyth.
///
/// # Errors
/// See [`Error`].
pub fn load(shards: &Arc<Shards>, settings: &Settings, workers: u64) -> Result<Measurement, Error> {
    load_some(shards, settings, workers, u64::MAX)
}

/// [`load`], of as many tokens at most.
///
/// # Errors
/// See [`Error`].
pub fn load_some(
    shards: &Arc<Shards>,
    settings: &Settings,
    workers: u64,
    tokens: u64,
) -> Result<Measurement, Error> {
    let loader = loader(shards, settings)?;
    let sequences: u64 = loader.sequences_per_epoch().iter().sum();
    let sequences = sequences.min(tokens.div_ceil(settings.seq_tokens as u64));
    let take = |first: u64, mut each: Box<dyn FnMut() + '_>| -> Result<u64, Error> {
        let (mut sequence, mut tokens) = (Sequence::default(), 0);
        let mut index = first;
        while index < sequences {
            loader.fill(index, &mut sequence)?;
            tokens += u64::from(black_box(&sequence).len.saturating_sub(1));
            each();
            index += workers;
        }
        Ok(tokens)
    };
    let mut watch = Watch::start();
    let tokens = std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..workers).map(|first| scope.spawn(move || take(first, Box::new(|| {})))).collect();
        let mut tokens = take(0, Box::new(|| watch.batch()))?;
        for other in others {
            tokens += other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok::<_, Error>(tokens)
    })?;
    let measured = watch.stop(tokens);
    let waited: u64 = loader.stats().iter().map(|stats| stats.wait_ns).sum();
    #[expect(clippy::cast_precision_loss, reason = "a share of a time")]
    let wait_share = waited as f64 / 1e9 / measured.seconds.max(1e-9) / workers as f64;
    Ok(Measurement { bytes_per_token: bytes_per_token(shards), wait_share, ..measured })
}
