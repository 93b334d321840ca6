//! How patiently a store is read, and how much of it is kept.

use std::path::PathBuf;
use std::time::Duration;

/// How a store is read. [`Options::default`] is right for a store of a cloud.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often a request is made at most.
    pub attempts: u32,
    /// How long to wait before the second attempt; twice as long before each one after, up to 10 s, less up to a half by chance.
    pub first_delay: Duration,
    /// How long one request may take, its body included: what hangs or trickles is given up and made again.
    pub timeout: Duration,
    /// How long one part of a read may take in all, with every attempt and wait. A wait that would end later is not begun.
    pub deadline: Duration,
    /// A longer range is fetched by several requests at once.
    pub part_bytes: u64,
    /// How many requests may be under way at once.
    pub requests: usize,
    /// How many bytes [`will_need`](super::StoredFile::will_need) may hold that are not yet read.
    pub ahead_bytes: u64,
    /// Where the cache lies; `None` for `$XDG_CACHE_HOME/stillflow/data` or `~/.cache/stillflow/data`.
    pub cache_folder: Option<PathBuf>,
    /// How large the cache may get; 0 for none.
    pub cache_bytes: u64,
    /// Settings that win over those of the environment, by the same names: (`AWS_ENDPOINT_URL`, `http://..`).
    /// Those of another kind of store are passed over.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_delay: Duration::from_millis(100),
            timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(120),
            part_bytes: 8 << 20,
            requests: 32,
            ahead_bytes: 256 << 20,
            cache_folder: None,
            cache_bytes: 16 << 30,
            settings: Vec::new(),
        }
    }
}

impl Options {
    /// Sets one of the [`settings`](Self::settings).
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }
}
