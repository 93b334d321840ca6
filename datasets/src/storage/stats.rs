//! What reading a store has cost.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counters, shared by all that read one store.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) bytes_fetched: AtomicU64,
    pub(crate) bytes_in_flight: AtomicU64,
    pub(crate) ahead_hits: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
    pub(crate) cache_damaged: AtomicU64,
    pub(crate) cache_evictions: AtomicU64,
    pub(crate) cache_note: Mutex<Option<String>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// HTTP requests made.
    pub requests: u64,
    /// Attempts after a first one.
    pub retries: u64,
    /// Bytes of bodies that came, those of attempts that failed included.
    pub bytes_fetched: u64,
    /// Bytes asked for and not yet there, now.
    pub bytes_in_flight: u64,
    /// Reads answered by what was fetched ahead.
    pub ahead_hits: u64,
    /// Ranges found in the cache.
    pub cache_hits: u64,
    /// Ranges not found in the cache.
    pub cache_misses: u64,
    /// Entries of the cache that were damaged, and so were fetched again.
    pub cache_damaged: u64,
    /// Entries removed to make room.
    pub cache_evictions: u64,
    /// Why the cache takes nothing more, if it does not.
    pub cache_note: Option<String>,
}

impl Counts {
    /// What came after `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            requests: self.requests - before.requests,
            retries: self.retries - before.retries,
            bytes_fetched: self.bytes_fetched - before.bytes_fetched,
            ahead_hits: self.ahead_hits - before.ahead_hits,
            cache_hits: self.cache_hits - before.cache_hits,
            cache_misses: self.cache_misses - before.cache_misses,
            cache_damaged: self.cache_damaged - before.cache_damaged,
            cache_evictions: self.cache_evictions - before.cache_evictions,
            ..self.clone()
        }
    }
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            bytes_fetched: self.bytes_fetched.load(Relaxed),
            bytes_in_flight: self.bytes_in_flight.load(Relaxed),
            ahead_hits: self.ahead_hits.load(Relaxed),
            cache_hits: self.cache_hits.load(Relaxed),
            cache_misses: self.cache_misses.load(Relaxed),
            cache_damaged: self.cache_damaged.load(Relaxed),
            cache_evictions: self.cache_evictions.load(Relaxed),
            cache_note: self.cache_note.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Counts bytes as in flight until the guard is dropped, however the read ends.
    pub(crate) fn flying(&self, bytes: u64) -> Flying<'_> {
        Self::add(&self.bytes_in_flight, bytes);
        Flying { stats: self, bytes }
    }
}

pub(crate) struct Flying<'a> {
    stats: &'a Stats,
    bytes: u64,
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.stats.bytes_in_flight.fetch_sub(self.bytes, Relaxed);
    }
}
