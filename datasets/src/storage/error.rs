//! What can go wrong between here and a store.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An error of storage: the place, what was tried, and what was found.
///
/// It can be cloned, since several readers may wait for the one request that fails.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A text that names no place.
    #[error(
        "`{location}` is no location: expected `s3://`, `gs://`, `az://`, `http(s)://` or a path, found {found}"
    )]
    BadLocation {
        /// The text, without its secrets.
        location: String,
        /// What is wrong with it.
        found: String,
    },
    /// A setting that the store does not have.
    #[error("`{key}` is no setting of the store of `{location}`")]
    UnknownSetting {
        /// The place.
        location: String,
        /// The setting.
        key: String,
    },
    /// A store that cannot be set up as it is configured.
    #[error("the store of `{location}` cannot be set up")]
    Setup {
        /// The place.
        location: String,
        /// Why not.
        source: Arc<object_store::Error>,
    },
    /// No credentials were found.
    #[error("no credentials for `{location}`: set {variables}")]
    NoCredentials {
        /// The place.
        location: String,
        /// The environment variables that would help.
        variables: &'static str,
        /// What was found where credentials were sought.
        source: Arc<Cause>,
    },
    /// Nothing there: 404.
    #[error("could not {operation} `{location}`: there is nothing of that name")]
    Missing {
        /// The file.
        location: String,
        /// What was tried.
        operation: &'static str,
    },
    /// The store knows us and says no, or does not know us: 401, 403.
    #[error("could not {operation} `{location}`: the store refused access")]
    Denied {
        /// The file.
        location: String,
        /// What was tried.
        operation: &'static str,
        /// What the store said.
        source: Arc<Cause>,
    },
    /// The store said no for another reason, which waiting does not mend.
    #[error("could not {operation} `{location}`: the store answered {status}")]
    Refused {
        /// The file.
        location: String,
        /// What was tried.
        operation: &'static str,
        /// The HTTP status; 0 where the request was not even made.
        status: u16,
        /// What the store said.
        source: Arc<Cause>,
    },
    /// The store failed again and again.
    #[error("could not {operation} `{location}`: gave up after {attempts} attempts in {:.1} s", waited.as_secs_f64())]
    Exhausted {
        /// The file.
        location: String,
        /// What was tried.
        operation: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// For how long.
        waited: Duration,
        /// How the last attempt failed.
        source: Arc<Cause>,
    },
    /// The file is not the one that was opened.
    #[error("`{location}` has changed since it was opened: expected {expected}, found {found}")]
    Changed {
        /// The file.
        location: String,
        /// Its version when it was opened.
        expected: String,
        /// Its version now.
        found: String,
    },
    /// The file is not as long as its manifest says.
    #[error("`{location}` has {found} bytes, expected {expected}")]
    Size {
        /// The file.
        location: String,
        /// By the manifest.
        expected: u64,
        /// By the store.
        found: u64,
    },
    /// A server that sends whole files only.
    #[error("the server of `{location}` does not answer requests for a part of a file")]
    NoRanges {
        /// The file.
        location: String,
    },
    /// A place whose files the caller must name.
    #[error("`{location}` cannot be listed: HTTP has no folders, name the files")]
    NotListable {
        /// The place.
        location: String,
    },
    /// A range that ends behind the file.
    #[error("`{location}` has {bytes} bytes, bytes {} to {} were asked for", asked.start, asked.end)]
    OutOfRange {
        /// The file.
        location: String,
        /// Its length.
        bytes: u64,
        /// What was asked for.
        asked: Range<u64>,
    },
    /// More than is read at once.
    #[error("{found} bytes of `{location}` are too many to read at once: expected at most {limit}")]
    TooLarge {
        /// The file.
        location: String,
        /// The most that is read.
        limit: u64,
        /// What was to be read.
        found: u64,
    },
    /// A name that leads out of its place, or that no store takes.
    #[error("`{name}` cannot name a file below `{location}`")]
    BadName {
        /// The place.
        location: String,
        /// The name.
        name: String,
    },
    /// The operating system refused an operation.
    #[error("could not {operation} `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// Why it was refused.
        source: Arc<io::Error>,
    },
    /// The thread that did it is gone.
    #[error("the task that was to {operation} `{location}` ended without an answer")]
    Stopped {
        /// The file.
        location: String,
        /// What was tried.
        operation: &'static str,
    },
}

/// How one attempt failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The store, or the way to it.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// No answer, or not all of it, in time.
    #[error("no whole answer within {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// A body of the wrong length.
    #[error("the body has {found} bytes, expected {expected}")]
    Length {
        /// What was asked for.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// An answer from another version of the file.
    #[error("another version: expected {expected}, found {found}")]
    Version {
        /// The version that was opened.
        expected: String,
        /// The version that answered.
        found: String,
    },
}

impl StorageError {
    pub(crate) fn io(
        path: &std::path::Path,
        operation: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, operation, source: Arc::new(source) }
    }

    /// Of what kind an [`io::Error`] of this error is.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Missing { .. } => io::ErrorKind::NotFound,
            Self::Denied { .. } | Self::NoCredentials { .. } => io::ErrorKind::PermissionDenied,
            Self::Exhausted { .. } => io::ErrorKind::TimedOut,
            Self::Changed { .. } | Self::Size { .. } => io::ErrorKind::InvalidData,
            Self::OutOfRange { .. } => io::ErrorKind::UnexpectedEof,
            Self::BadLocation { .. } | Self::BadName { .. } | Self::UnknownSetting { .. } => {
                io::ErrorKind::InvalidInput
            }
            Self::NoRanges { .. } | Self::NotListable { .. } => io::ErrorKind::Unsupported,
            Self::Io { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        }
    }

    /// The storage error inside an [`io::Error`] that a read returned.
    #[must_use]
    pub fn within(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        Self::new(error.kind(), error)
    }
}
