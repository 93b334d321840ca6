//! Files on object stores, and on this machine, read by ranges.
//!
//! A [`Location`] names a folder or a prefix, a [`Storage`] is what lies there, a [`StoredFile`] is one file of it.
//!
//! | location | store | environment |
//! |---|---|---|
//! | a path | this machine | |
//! | `s3://bucket/prefix` | Amazon S3 and what speaks its protocol | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` (or `AWS_DEFAULT_REGION`), `AWS_ENDPOINT_URL` (without TLS if it begins with `http://`), `AWS_SKIP_SIGNATURE=true` for a public bucket, `AWS_VIRTUAL_HOSTED_STYLE_REQUEST`; without keys the role of the container or of the machine |
//! | `gs://bucket/prefix` | Google Cloud Storage | `GOOGLE_SERVICE_ACCOUNT` (the path of a key), `GOOGLE_SERVICE_ACCOUNT_KEY`, `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SKIP_SIGNATURE=true` |
//! | `az://container/prefix` | Azure Blob Storage | `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_KEY`, `AZURE_STORAGE_ENDPOINT`, `AZURE_SKIP_SIGNATURE=true` |
//! | `http(s)://host/path` | any server that answers range requests; it cannot be listed | |
//!
//! The same names in [`Options::settings`] win over the environment.
//!
//! What holds for every remote file:
//!
//! - All requests run on threads of their own. Whoever reads waits outside of them.
//! - A long range is fetched by several requests at once, and each is made again when the store fails, hangs or stops
//!   short, with growing waits, up to a deadline. What came already is not asked for again.
//! - A file is of one version from when it was opened: its ETag (or its time, without one) and its length are checked with every
//!   answer, and a change is an error that says so.
//! - What was fetched is kept on disk, up to a bound, with a hash; see [`Options::cache_bytes`]. A server that tells neither
//!   ETag nor time is not cached, since a change would not show.

mod ahead;
mod cache;
mod error;
mod file;
mod local;
mod location;
mod options;
mod origin;
mod retry;
mod runtime;
mod stats;
mod store;
mod stores;
mod version;
mod watch;

pub use error::{Cause, StorageError};
pub use file::StoredFile;
pub use location::{Location, Scheme};
pub use options::Options;
pub use stats::Counts;

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path as Key;
use tokio::sync::Semaphore;

use cache::Cache;
use local::LocalFile;
use origin::{Object, Origin};
use runtime::wait_for;
use stats::Stats;
use store::Store;
use version::Version;

/// The most that [`Storage::read_small`] reads.
const SMALL: u64 = 1 << 30;

/// What lies at a location.
#[derive(Debug, Clone)]
pub struct Storage {
    location: Location,
    // `None` for this machine.
    store: Option<Arc<Store>>,
}

/// A file that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name below the location, with `/` between its parts; empty if the location is the file.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its ETag in quotes, where the store has one.
    pub etag: Option<String>,
    /// When it was last changed, in seconds since 1970; 0 where the store does not tell.
    pub modified: i64,
}

/// Whether a listing leaves a name out: hidden, or the mark of another tool (`_SUCCESS`).
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with(['.', '_']))
}

impl Storage {
    /// Opens a location. A store is asked for nothing yet but, where they are not configured, the credentials of this machine.
    ///
    /// # Errors
    /// [`StorageError::UnknownSetting`], [`StorageError::Setup`], [`StorageError::NoCredentials`].
    pub fn open(location: &Location, options: Options) -> Result<Self, StorageError> {
        let Location::Remote { scheme, root, .. } = location else {
            return Ok(Self { location: location.clone(), store: None });
        };
        let stats = Arc::new(Stats::default());
        let (store, which) = stores::open(*scheme, root, &options, &stats)?;
        let folder = options.cache_folder.clone().or_else(Cache::default_folder);
        let cache = folder
            .filter(|_| options.cache_bytes > 0)
            .map(|folder| Cache::new(folder, options.cache_bytes, Arc::clone(&stats)));
        let requests = Semaphore::new(options.requests.clamp(1, Semaphore::MAX_PERMITS));
        let origin = Origin { store, options, stats, requests };
        let store = Some(Arc::new(Store::new(origin, which, cache)));
        Ok(Self { location: location.clone(), store })
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What reading it has cost so far; nothing, on this machine.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.store.as_ref().map(|store| store.origin.stats.counts()).unwrap_or_default()
    }

    /// Every file below the location, by name; hidden files, and those of a name or in a folder that begins with `_`, are left out.
    ///
    /// A location that is itself a file gives that file, under an empty name; of HTTP, every location that does not end in `/`.
    ///
    /// # Errors
    /// [`StorageError::Missing`] if there is nothing at all, [`StorageError::NotListable`] for HTTP, and what requests fail with.
    pub fn list(&self) -> Result<Vec<Found>, StorageError> {
        let (Some(store), Location::Remote { scheme, prefix, folder, .. }) =
            (&self.store, &self.location)
        else {
            let mut found = self.location.local().map_or(Ok(Vec::new()), local::list)?;
            found.sort_by(|one, two| one.name.cmp(&two.name));
            return Ok(found);
        };
        let url = self.location.to_string();
        if *scheme == Scheme::Http && *folder {
            return Err(StorageError::NotListable { location: url });
        }
        let (store, path, listable, folder) =
            (Arc::clone(store), self.key("")?, *scheme != Scheme::Http, *folder);
        let prefix = prefix.clone();
        let location = url.clone();
        wait_for(&location, "list", async move {
            let listed = if listable { store.origin.list(&path, &url).await? } else { Vec::new() };
            let name = |path: &Key| {
                let below = path.as_ref().strip_prefix(&*prefix)?;
                Some(if prefix.is_empty() { below } else { below.strip_prefix('/')? }.to_owned())
            };
            let mut found: Vec<Found> = listed
                .iter()
                .filter_map(|object| Some(Found::new(name(&object.location)?, Version::of(object))))
                .filter(|found| !found.name.is_empty() && !is_hidden(&found.name))
                .collect();
            if listed.is_empty() && !folder {
                found.push(Found::new(String::new(), store.origin.head(&path, &url).await?));
            } else if listed.is_empty() {
                return Err(StorageError::Missing { location: url, operation: "list" });
            }
            found.sort_by(|one, two| one.name.cmp(&two.name));
            Ok(found)
        })
    }

    /// The whole of a small file, such as a manifest; it is not cached.
    ///
    /// # Errors
    /// [`StorageError::TooLarge`] above 1 GiB, and what requests fail with.
    pub fn read_small(&self, name: &str) -> Result<Bytes, StorageError> {
        let path = self.key(name)?;
        let url = self.location.of(name);
        let Some(store) = &self.store else { return local::read_small(url.as_ref(), SMALL) };
        let store = Arc::clone(store);
        wait_for(&url.clone(), "read", async move { store.origin.whole(&path, &url, SMALL).await })
    }

    /// Opens a file by its name: one request, for its length and version. `bytes` is its length by a manifest, to be checked.
    ///
    /// # Errors
    /// [`StorageError::Size`] for another length, [`StorageError::Missing`], and what requests fail with.
    pub fn file(&self, name: &str, bytes: Option<u64>) -> Result<StoredFile, StorageError> {
        let path = self.key(name)?;
        let url = self.location.of(name);
        let file = match &self.store {
            None => StoredFile::local(LocalFile::open(url.clone().into())?),
            Some(store) => {
                let (asked, path_asked, url_asked) = (Arc::clone(store), path.clone(), url.clone());
                let head = async move { asked.origin.head(&path_asked, &url_asked).await };
                let version = wait_for(&url, "open", head)?;
                StoredFile::remote(Arc::clone(store), Object { path, url: url.clone(), version })
            }
        };
        match bytes {
            Some(expected) if expected != file.len() => {
                Err(StorageError::Size { location: url, expected, found: file.len() })
            }
            _ => Ok(file),
        }
    }

    /// Opens a file that a listing found, of the version that was found: no request.
    ///
    /// # Errors
    /// As [`file`](Self::file), for a file of this machine.
    pub fn found(&self, found: &Found) -> Result<StoredFile, StorageError> {
        let Some(store) = &self.store else { return self.file(&found.name, Some(found.bytes)) };
        let version =
            Version { bytes: found.bytes, etag: found.etag.clone(), modified: found.modified };
        let (path, url) = (self.key(&found.name)?, self.location.of(&found.name));
        Ok(StoredFile::remote(Arc::clone(store), Object { path, url, version }))
    }

    /// Waits until the cache has on disk all that was fetched.
    ///
    /// # Errors
    /// [`StorageError::Stopped`], never but at the end of the process.
    pub fn settle(&self) -> Result<(), StorageError> {
        let Some(store) = &self.store else { return Ok(()) };
        let store = Arc::clone(store);
        wait_for(&self.location.to_string(), "cache", async move {
            store.settle().await;
            Ok(())
        })
    }

    /// Where a name lies in the store; what would lead out of the location is refused.
    fn key(&self, name: &str) -> Result<Key, StorageError> {
        let prefix = match &self.location {
            Location::Remote { prefix, .. } => prefix,
            Location::Local(_) => "",
        };
        let bad = |_| StorageError::BadName {
            location: self.location.to_string(),
            name: name.to_owned(),
        };
        let key = Key::parse(name).map_err(bad)?;
        match (prefix.is_empty(), name.is_empty()) {
            (true, _) => Ok(key),
            (_, true) => Key::parse(prefix).map_err(bad),
            _ => Key::parse(format!("{prefix}/{key}")).map_err(bad),
        }
    }
}

impl Found {
    fn new(name: String, version: Version) -> Self {
        Self { name, bytes: version.bytes, etag: version.etag, modified: version.modified }
    }
}

#[cfg(test)]
mod tests;
