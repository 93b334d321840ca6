//! A store with its cache and its bounds, as its files share them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::StorageError;
use super::cache::{Cache, Key};
use super::origin::{Object, Origin};

/// Shares of memory are counted in blocks of this many bytes, so that their number fits a semaphore.
const SHARE: u64 = 4096;
/// How much may be on its way to the cache: a disk slower than the network slows the reads down, instead of filling the memory.
const WRITING: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) origin: Origin,
    /// Which of the stores of one name it is: its endpoint, or its account.
    which: String,
    cache: Option<Arc<Cache>>,
    ahead: Bound,
    writing: Bound,
}

/// So many bytes at once, in blocks.
#[derive(Debug)]
struct Bound {
    permits: Arc<Semaphore>,
    blocks: u32,
}

impl Bound {
    fn new(bytes: u64) -> Self {
        let blocks =
            u32::try_from(bytes.div_ceil(SHARE)).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4);
        Self { permits: Arc::new(Semaphore::new(blocks as usize)), blocks }
    }

    /// Waits for the bytes; what is more than the bound waits for all of it.
    async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.permits).acquire_many_owned(self.blocks_of(bytes)).await
    }

    fn blocks_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(SHARE)).unwrap_or(u32::MAX).min(self.blocks)
    }
}

impl Store {
    pub(crate) fn new(origin: Origin, which: String, cache: Option<Cache>) -> Self {
        let ahead = Bound::new(origin.options.ahead_bytes);
        Self { origin, which, cache: cache.map(Arc::new), ahead, writing: Bound::new(WRITING) }
    }

    /// Waits for a share of the memory for what is fetched ahead.
    pub(crate) async fn share(&self, bytes: u64) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.ahead.take(bytes).await
    }

    /// The same, if there is room now.
    pub(crate) fn share_now(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.ahead.permits).try_acquire_many_owned(self.ahead.blocks_of(bytes)).ok()
    }

    pub(crate) fn key(&self, object: &Object, range: &Range<u64>) -> Option<Key> {
        self.cache.as_ref().and_then(|_| Key::new(&self.which, object, range))
    }

    pub(crate) fn cached(&self, key: Option<&Key>, bytes: u64) -> Option<Bytes> {
        self.cache.as_ref()?.get(key?, bytes)
    }

    pub(crate) fn drop_cached(&self, key: Option<&Key>) {
        if let (Some(cache), Some(key)) = (&self.cache, key) {
            cache.remove(key);
        }
    }

    /// Fetches a range and lets the cache have it.
    pub(crate) async fn fetch(
        &self,
        object: &Object,
        key: Option<Key>,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        let bytes = self.origin.range(object, range).await?;
        if let (Some(cache), Some(key)) = (&self.cache, key)
            && let Ok(share) = self.writing.take(bytes.len() as u64).await
        {
            let (cache, bytes) = (Arc::clone(cache), bytes.clone());
            Handle::current().spawn_blocking(move || {
                cache.put(&key, &bytes);
                drop(share);
            });
        }
        Ok(bytes)
    }

    /// Waits until the cache has all that was fetched.
    pub(crate) async fn settle(&self) {
        // Fails only if it is closed, which it never is.
        let _ = self.writing.permits.acquire_many(self.writing.blocks).await;
    }
}
