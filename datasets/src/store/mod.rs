//! Durable bytes: the only code that calls fsync.
//!
//! - [`write_atomic`] and [`AtomicFile`]: a file appears whole or not at all.
//! - [`checkpoint`]: parts, and a manifest whose rename commits them.
//! - [`lock`]: one process a run directory.
//! - [`trial`]: the hooks by which tests fail or kill each of these operations.
//!
//! The order is always the same: write aside, fsync the file, rename, fsync the directory. Before the rename
//! the old state is whole, after it the new one.

mod atomic;
pub mod checkpoint;
mod digest;
mod error;
pub mod lock;
pub mod sealed;
pub mod trial;

pub use atomic::{
    AtomicFile, Written, create_dir_all, remove_dir_all, remove_file, rename_dir, write_atomic,
};
pub use checkpoint::{Checkpoint, Checkpoints, Found, Part};
pub use digest::{Digest, Hasher, ParseDigestError, digest_bytes, digest_file};
pub use error::StoreError;
pub use lock::RunLock;
