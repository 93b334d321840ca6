//! A folder of an object store, as shards are read from it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::folder::{Folder, ReadAt};
use crate::storage::{Counts, Location, Options, Storage, StorageError, StoredFile};

/// A folder of an object store.
#[derive(Debug)]
pub struct RemoteFolder {
    storage: Storage,
    name: String,
}

impl RemoteFolder {
    /// Opens a folder; nothing is read yet.
    ///
    /// # Errors
    /// [`StorageError`] if the address or its credentials make no sense.
    pub fn open(location: &Location, options: Options) -> Result<Self, StorageError> {
        let storage = Storage::open(location, options)?;
        Ok(Self { storage, name: location.to_string() })
    }

    /// What was read of it so far.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }
}

impl Folder for RemoteFolder {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let found = self.storage.list().map_err(io::Error::other)?;
        Ok(found.into_iter().map(|found| (found.name, found.bytes)).collect())
    }

    fn open(&self, file: &str) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(self.storage.file(file, None).map_err(io::Error::other)?))
    }
}

impl ReadAt for StoredFile {
    fn name(&self) -> String {
        Self::name(self)
    }

    fn size(&self) -> u64 {
        self.len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        Self::read(self, range)
    }

    fn read_again(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.refetch(range)
    }

    fn will_need(&self, range: Range<u64>) {
        Self::will_need(self, range);
    }

    fn fetched(&self) -> Counts {
        self.counts()
    }
}
