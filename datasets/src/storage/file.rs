//! One file of a store, read by ranges.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::StorageError;
use super::ahead::{Ahead, Promise};
use super::cache::Key;
use super::local::LocalFile;
use super::origin::Object;
use super::runtime::{runtime, wait_for};
use super::stats::{Counts, Stats};
use super::store::Store;

/// The most that is read at once: a server that lies about a length must not take the memory.
const MOST: u64 = 8 << 30;

/// A file, as it was when it was opened: whatever is read of it is of that version, or an error.
///
/// Clones are the same file and share what was fetched ahead.
#[derive(Debug, Clone)]
pub struct StoredFile(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Local(Arc<LocalFile>),
    Remote(Arc<Remote>),
}

#[derive(Debug)]
struct Remote {
    store: Arc<Store>,
    object: Arc<Object>,
    ahead: Mutex<Vec<Arc<Ahead>>>,
    /// Every range that was fetched ahead, and so may lie in the cache under its own name.
    asked: Mutex<BTreeSet<(u64, u64)>>,
}

impl StoredFile {
    pub(crate) fn local(file: LocalFile) -> Self {
        Self(Kind::Local(Arc::new(file)))
    }

    pub(crate) fn remote(store: Arc<Store>, object: Object) -> Self {
        let (object, ahead, asked) = (Arc::new(object), Mutex::default(), Mutex::default());
        Self(Kind::Remote(Arc::new(Remote { store, object, ahead, asked })))
    }

    /// The path or the URL.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::Local(file) => file.path.display().to_string(),
            Kind::Remote(file) => file.object.url.clone(),
        }
    }

    /// The path, for a file of this machine: it may be mapped.
    #[must_use]
    pub fn local_path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Local(file) => Some(&file.path),
            Kind::Remote(_) => None,
        }
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a file is not a collection")]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Local(file) => file.bytes,
            Kind::Remote(file) => file.object.version.bytes,
        }
    }

    /// The bytes of a range: fetched ahead, or of the cache, or of the store. The calling thread waits for them.
    ///
    /// # Errors
    /// An [`io::Error`] around a [`StorageError`] ([`StorageError::within`] gives it back).
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = self.check(&range)?;
        match &self.0 {
            _ if length == 0 => Ok(Bytes::new()),
            Kind::Local(file) => Ok(file.read(range, length)?),
            Kind::Remote(file) => Ok(file.read(range)?),
        }
    }

    /// Reads a range from the store itself, whatever lies in the cache, which then gets what came.
    ///
    /// For who found that the bytes have not the hash they should: if these have it, the cache was damaged,
    /// and if not, the store is.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn refetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        match &self.0 {
            Kind::Remote(file) if self.check(&range)? > 0 => Ok(file.refetch(range)?),
            _ => self.read(range),
        }
    }

    /// Starts to fetch a range, so that a [`read`](Self::read) of it, or of parts of it, need not wait.
    ///
    /// Ranges wait for their share of [`Options::ahead_bytes`](super::Options::ahead_bytes), in the order of the
    /// calls; a read of one that still waits fetches it at once. A range keeps its share until as many bytes as it
    /// has were read, or the file is dropped. Nothing happens for a file of this machine, for a range that
    /// is on its way, or for one that the file does not have.
    pub fn will_need(&self, range: Range<u64>) {
        if let Kind::Remote(file) = &self.0
            && self.check(&range).is_ok_and(|length| length > 0)
        {
            file.will_need(range);
        }
    }

    /// What reading its store has cost so far; nothing, on this machine.
    #[must_use]
    pub fn counts(&self) -> Counts {
        match &self.0 {
            Kind::Local(_) => Counts::default(),
            Kind::Remote(file) => file.store.origin.stats.counts(),
        }
    }

    /// Whether a [`read`](Self::read) of the range would find it in memory; always, for a file of this machine.
    #[must_use]
    pub fn is_ready(&self, range: &Range<u64>) -> bool {
        match &self.0 {
            Kind::Local(_) => true,
            Kind::Remote(file) => file.find(range).is_some_and(|ahead| ahead.is_there()),
        }
    }

    fn check(&self, range: &Range<u64>) -> Result<usize, StorageError> {
        let (location, bytes) = (self.name(), self.len());
        let length = match range.end.checked_sub(range.start) {
            Some(length) if range.end <= bytes => length,
            _ => return Err(StorageError::OutOfRange { location, bytes, asked: range.clone() }),
        };
        match usize::try_from(length) {
            Ok(fits) if length <= MOST => Ok(fits),
            _ => Err(StorageError::TooLarge { location, limit: MOST, found: length }),
        }
    }
}

impl Remote {
    fn find(&self, range: &Range<u64>) -> Option<Arc<Ahead>> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.iter().find(|ahead| ahead.holds(range)).cloned()
    }

    fn forget(&self, gone: impl Fn(&Ahead) -> bool) {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).retain(|ahead| !gone(ahead));
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        if let Some(ahead) = self.find(&range) {
            if ahead.join() {
                return self.take(&ahead, &range);
            }
            self.forget(|other| std::ptr::eq(other, &*ahead));
            // What another run fetched ahead has the same name in the cache.
            let key = self.store.key(&self.object, &ahead.range);
            if let Some(found) =
                self.store.cached(key.as_ref(), ahead.range.end - ahead.range.start)
            {
                return Ok(ahead.part(&found, &range));
            }
        }
        let key = self.store.key(&self.object, &range);
        if let Some(found) = self.store.cached(key.as_ref(), range.end - range.start) {
            return Ok(found);
        }
        self.fetch(key, range)
    }

    fn take(&self, ahead: &Ahead, range: &Range<u64>) -> Result<Bytes, StorageError> {
        let outcome = ahead.wait();
        let length = range.end - range.start;
        let taken = ahead.taken.fetch_add(length, Ordering::AcqRel) + length;
        if outcome.is_err() || taken >= ahead.range.end - ahead.range.start {
            self.forget(|other| std::ptr::eq(other, ahead));
        }
        Stats::add(&self.store.origin.stats.ahead_hits, 1);
        outcome.map(|bytes| ahead.part(&bytes, range))
    }

    fn fetch(&self, key: Option<Key>, range: Range<u64>) -> Result<Bytes, StorageError> {
        let (store, object) = (Arc::clone(&self.store), Arc::clone(&self.object));
        wait_for(&self.object.url, "read", async move { store.fetch(&object, key, range).await })
    }

    fn refetch(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.forget(|ahead| ahead.overlaps(&range));
        let key = self.store.key(&self.object, &range);
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let around = asked.into_iter().map(|(start, end)| start..end);
        for other in around
            .filter(|other| other.start < range.end && range.start < other.end)
            .chain([range.clone()])
        {
            self.store.drop_cached(self.store.key(&self.object, &other).as_ref());
        }
        self.fetch(key, range)
    }

    fn will_need(&self, range: Range<u64>) {
        let Ok(runtime) = runtime() else { return };
        let entry = {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            if ahead.iter().any(|ahead| ahead.holds(&range)) {
                return;
            }
            let entry = Arc::new(Ahead::new(range.clone()));
            ahead.push(Arc::clone(&entry));
            entry
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert((range.start, range.end));
        let (store, object, filled) =
            (Arc::clone(&self.store), Arc::clone(&self.object), Arc::clone(&entry));
        // Where there is room, a reader that comes at once waits for this fetch and does not make its own.
        let share = store.share_now(range.end - range.start).filter(|_| filled.start());
        let task = runtime.spawn(async move {
            let promise = Promise { ahead: &filled, location: &object.url };
            let share = match share {
                Some(share) => share,
                // Never closed.
                None => match store.share(range.end - range.start).await {
                    Ok(share) if filled.start() => share,
                    _ => return,
                },
            };
            let key = store.key(&object, &range);
            let found = match &key {
                None => None,
                Some(key) => {
                    let (store, key, length) =
                        (Arc::clone(&store), key.clone(), range.end - range.start);
                    let read = move || store.cached(Some(&key), length);
                    Handle::current().spawn_blocking(read).await.ok().flatten()
                }
            };
            let outcome = match found {
                Some(bytes) => Ok(bytes),
                None => store.fetch(&object, key, range).await,
            };
            promise.ahead.fill(outcome.map(|bytes| (bytes, share)));
        });
        *entry.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        for ahead in self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner) {
            if let Some(task) = &*ahead.task.lock().unwrap_or_else(PoisonError::into_inner) {
                task.abort();
            }
        }
    }
}
