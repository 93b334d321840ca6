//! What can be wrong with stored bytes.

use std::io;
use std::path::{Path, PathBuf};

use super::Digest;

/// An error of the store: the file, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused an operation.
    #[error("could not {operation} `{}`", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried: `create`, `write`, `fsync`, `rename`, …
        operation: &'static str,
        /// Why it was refused.
        source: io::Error,
    },
    /// Another process holds the run's lock.
    #[error("`{}` is locked by another process{}", path.display(), of_pid(*pid))]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// The process that holds it, where the file tells.
        pid: Option<u32>,
    },
    /// A manifest that is no manifest.
    #[error("`{}` is not a manifest of the expected form", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// Where it stopped making sense.
        source: serde_json::Error,
    },
    /// A manifest of a format that this version does not read.
    #[error("`{}` has format version {found}, expected {expected}", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// The version this code reads.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// A manifest that does not match its own digest.
    #[error("`{}` is damaged: it holds digest {expected}, its content has {found}", path.display())]
    ManifestDigest {
        /// The manifest.
        path: PathBuf,
        /// The digest it holds.
        expected: Digest,
        /// The digest of its content.
        found: Digest,
    },
    /// A manifest that lies in the directory of another step.
    #[error("`{}` is the manifest of step {found}, expected step {expected}", path.display())]
    WrongStep {
        /// The manifest.
        path: PathBuf,
        /// The step of the directory.
        expected: u64,
        /// The step of the manifest.
        found: u64,
    },
    /// A checkpoint of another recipe.
    #[error("`{}` was made by recipe {found}, this is recipe {expected}", path.display())]
    RecipeChanged {
        /// The manifest.
        path: PathBuf,
        /// The digest of the recipe of this run.
        expected: Digest,
        /// The digest of the recipe that made the checkpoint.
        found: Digest,
    },
    /// A part that a manifest names and that does not lie beside it.
    #[error("part `{}` of the checkpoint is missing", path.display())]
    PartMissing {
        /// The part.
        path: PathBuf,
    },
    /// A part of the wrong length.
    #[error("part `{}` has {found} bytes, expected {expected}", path.display())]
    PartSize {
        /// The part.
        path: PathBuf,
        /// Its length by the manifest.
        expected: u64,
        /// Its length on disk.
        found: u64,
    },
    /// A part of the right length with other bytes.
    #[error("part `{}` is damaged: its digest is {found}, expected {expected}", path.display())]
    PartDigest {
        /// The part.
        path: PathBuf,
        /// Its digest by the manifest.
        expected: Digest,
        /// Its digest on disk.
        found: Digest,
    },
    /// A part's name that is no plain file name, or that occurs twice.
    #[error("`{name}` cannot name a part of step {step}: expected a plain file name, once")]
    PartName {
        /// The checkpoint's step.
        step: u64,
        /// The name.
        name: String,
    },
    /// A commit of a step that is not newer than the newest checkpoint.
    #[error("step {step} cannot be committed in `{}`: the newest checkpoint is of step {newest}", dir.display())]
    StaleStep {
        /// The directory of the checkpoints.
        dir: PathBuf,
        /// The step that was to be committed.
        step: u64,
        /// The newest checkpoint's step.
        newest: u64,
    },
}

impl StoreError {
    /// What turns the error of an operation on a path into ours.
    pub(crate) fn io(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, operation, source }
    }
}

fn of_pid(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}
