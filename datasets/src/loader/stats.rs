//! What a loader counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::storage::Counts;

/// The counts of one source since the loader was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceStats {
    /// The source.
    pub name: String,
    /// Sequences that were filled.
    pub sequences: u64,
    /// Their inputs that are tokens of documents.
    pub tokens: u64,
    /// Their inputs that are padding.
    pub padding: u64,
    /// Stored bytes that were read.
    pub bytes_read: u64,
    /// Windows that were decoded.
    pub windows_decoded: u64,
    /// Times that a window was there when it was asked for.
    pub cache_hits: u64,
    /// How long those who asked waited for windows, in nanoseconds, summed over threads.
    pub wait_ns: u64,
    /// What reading it from elsewhere has cost; nothing, on this machine.
    pub fetched: Counts,
}

impl SourceStats {
    /// What came after `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            name: self.name.clone(),
            sequences: self.sequences - before.sequences,
            tokens: self.tokens - before.tokens,
            padding: self.padding - before.padding,
            bytes_read: self.bytes_read - before.bytes_read,
            windows_decoded: self.windows_decoded - before.windows_decoded,
            cache_hits: self.cache_hits - before.cache_hits,
            wait_ns: self.wait_ns - before.wait_ns,
            fetched: self.fetched.since(&before.fetched),
        }
    }
}

#[derive(Default)]
pub(super) struct Counters {
    sequences: AtomicU64,
    tokens: AtomicU64,
    padding: AtomicU64,
    bytes_read: AtomicU64,
    windows_decoded: AtomicU64,
    cache_hits: AtomicU64,
    wait_ns: AtomicU64,
}

impl Counters {
    pub(super) fn filled(&self, tokens: u64, padding: u64) {
        self.sequences.fetch_add(1, Relaxed);
        self.tokens.fetch_add(tokens, Relaxed);
        if padding > 0 {
            self.padding.fetch_add(padding, Relaxed);
        }
    }

    pub(super) fn decoded(&self, bytes: u64) {
        self.windows_decoded.fetch_add(1, Relaxed);
        self.bytes_read.fetch_add(bytes, Relaxed);
    }

    pub(super) fn hit(&self) {
        self.cache_hits.fetch_add(1, Relaxed);
    }

    pub(super) fn waited(&self, since: Instant) {
        let waited = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.wait_ns.fetch_add(waited, Relaxed);
    }

    pub(super) fn stats(&self, name: &str, fetched: Counts) -> SourceStats {
        SourceStats {
            name: name.to_owned(),
            sequences: self.sequences.load(Relaxed),
            tokens: self.tokens.load(Relaxed),
            padding: self.padding.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            windows_decoded: self.windows_decoded.load(Relaxed),
            cache_hits: self.cache_hits.load(Relaxed),
            wait_ns: self.wait_ns.load(Relaxed),
            fetched,
        }
    }
}
