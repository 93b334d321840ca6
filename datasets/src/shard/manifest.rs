//! The manifest of a folder of shards.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Checksum, Header, ShardError};
use crate::store::{Digest, sealed, write_atomic};

pub(super) const VERSION: u32 = 2;
const FILE: &str = "manifest.json";

/// A row group of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowGroup {
    /// How many samples it holds.
    pub rows: u64,
    /// How many tokens they have.
    pub tokens: u64,
    /// The largest of them; 0 if there is none.
    pub max_id: u32,
    /// Where its stored bytes begin: the end of the row group before, or the file's start.
    pub offset: u64,
    /// How many stored bytes it has.
    pub bytes: u64,
    /// Their hash.
    pub hash: Checksum,
}

/// A shard, as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Its file's name.
    pub file: String,
    /// Its file's length.
    pub bytes: u64,
    /// The digest of the whole file; of files of others, of their parts' checksums.
    pub digest: Digest,
    /// Its row groups, in order.
    pub row_groups: Vec<RowGroup>,
    /// The hash of the bytes after the last row group.
    pub footer: Checksum,
}

impl ShardEntry {
    /// How many samples the shard holds.
    pub fn num_samples(&self) -> u64 {
        self.row_groups.iter().map(|group| group.rows).sum()
    }

    /// How many tokens they have.
    pub fn num_tokens(&self) -> u64 {
        self.row_groups.iter().map(|group| group.tokens).sum()
    }

    /// Where the footer begins.
    pub(super) fn footer_offset(&self) -> u64 {
        self.row_groups.last().map_or(0, |group| group.offset.saturating_add(group.bytes))
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) header: Header,
    /// The column of token lists, in files of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<String>,
    /// Where the files are, if not beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
    pub(super) entries: Vec<ShardEntry>,
}

/// Writes the manifest of the shards in `dir`, which makes them a data set. Returns its digest.
///
/// # Errors
/// [`ShardError::Store`] if it cannot be written.
pub fn write_manifest(
    dir: &Path,
    header: &Header,
    entries: &[ShardEntry],
) -> Result<Digest, ShardError> {
    write(dir, header, None, "", entries)
}

/// Writes the manifest of files of others: where they are, and which of their columns holds tokens.
pub(super) fn write(
    dir: &Path,
    header: &Header,
    column: Option<&str>,
    location: &str,
    entries: &[ShardEntry],
) -> Result<Digest, ShardError> {
    let path = dir.join(FILE);
    let manifest = Manifest {
        version: VERSION,
        header: header.clone(),
        column: column.map(str::to_owned),
        location: Some(location.to_owned()).filter(|location| !location.is_empty()),
        entries: entries.to_vec(),
    };
    sealed::write(&path, &manifest).map_err(ShardError::store(&path))
}

/// Writes a manifest that was read elsewhere.
pub(super) fn copy(dir: &Path, manifest: &[u8]) -> Result<(), ShardError> {
    let path = dir.join(FILE);
    let written = write_atomic(&path, |file| file.write_all(manifest));
    written.map(|_| ()).map_err(ShardError::store(&path))
}

/// Reads a manifest and checks it against itself.
pub(super) fn read(dir: &Path) -> Result<(Manifest, Digest), ShardError> {
    let path = dir.join(FILE);
    let (manifest, digest) = sealed::read::<Manifest>(&path).map_err(ShardError::store(&path))?;
    if manifest.version != VERSION {
        let found = manifest.version;
        return Err(ShardError::Version { path, expected: VERSION, found });
    }
    Ok((manifest, digest))
}
