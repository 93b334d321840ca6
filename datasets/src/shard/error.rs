//! What can be wrong with a shard.

use std::io;
use std::path::{Path, PathBuf};

use crate::parquet_file::ParquetFault;
use crate::store::{Digest, StoreError};

/// An error of token shards: the file, the row group or row, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// The operating system refused an operation.
    #[error("could not {operation} `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// Why it was refused.
        source: io::Error,
    },
    /// The store refused: a manifest is damaged, or a file cannot be written.
    #[error("the shards at `{}` cannot be stored or found", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A Parquet file that cannot be written.
    #[error("could not write shard `{}`", path.display())]
    Write {
        /// The shard.
        path: PathBuf,
        /// Why.
        source: ParquetFault,
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
    /// Shards made with another tokenizer.
    #[error("the shards in `{}` were made with tokenizer {found}, expected {expected}", path.display())]
    OtherTokenizer {
        /// The folder.
        path: PathBuf,
        /// The tokenizer's fingerprint.
        expected: Digest,
        /// The fingerprint in the manifest.
        found: Digest,
    },
    /// No shard at all.
    #[error("`{}` holds no shard", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A manifest that names a file outside its folder.
    #[error("the manifest in `{}` names the file `{name}`: expected a plain file name", path.display())]
    BadName {
        /// The folder.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A shard, or row group, that is not there.
    #[error("there is no row group {row_group} of shard {shard}")]
    NoSuch {
        /// The shard.
        shard: usize,
        /// The row group.
        row_group: usize,
    },
    /// A shard of another length than the manifest's.
    #[error("shard `{}` has {found} bytes, expected {expected}", path.display())]
    Size {
        /// The shard.
        path: PathBuf,
        /// Its length by the manifest.
        expected: u64,
        /// Its length on disk.
        found: u64,
    },
    /// Stored bytes that do not match their hash.
    #[error("{part} of shard `{}`, from byte {offset}, is damaged: its hash is {found}, expected {expected}", path.display())]
    Hash {
        /// The shard.
        path: PathBuf,
        /// `row group 3`, or `the footer`.
        part: String,
        /// Where its bytes begin.
        offset: u64,
        /// The hash by the manifest.
        expected: String,
        /// The hash of the bytes on disk.
        found: String,
    },
    /// A file that is not Parquet, or a damaged one.
    #[error("`{}` is not a whole Parquet file", path.display())]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// Where it stopped making sense.
        source: ParquetFault,
    },
    /// A row group that does not decode.
    #[error("column `{column}` of row group {row_group} of `{}` cannot be read", path.display())]
    BadRowGroup {
        /// The file.
        path: PathBuf,
        /// The row group, from 0.
        row_group: usize,
        /// The column.
        column: String,
        /// What is wrong with it.
        source: ParquetFault,
    },
    /// A file without a column.
    #[error("`{}` has no column `{column}`: it has {}", path.display(), have.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns it has.
        have: Vec<String>,
    },
    /// A file with a column twice.
    #[error("`{}` has more than one column `{column}`", path.display())]
    AmbiguousColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A column of the wrong type.
    #[error("column `{column}` of `{}` is {found}, expected {expected}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What would have done.
        expected: &'static str,
        /// Its type.
        found: String,
    },
    /// A null.
    #[error("column `{column}` of `{}` holds a null in row {row}, row group {row_group}", path.display())]
    Null {
        /// The file.
        path: PathBuf,
        /// The row group, from 0.
        row_group: usize,
        /// The column.
        column: String,
        /// The row in the file, from 0.
        row: u64,
    },
    /// A token that is not in the vocabulary.
    #[error("token {position} of row {row} of `{}`, row group {row_group}, is {id}, expected 0 to {vocab_size} exclusive", path.display())]
    TokenOutOfRange {
        /// The file.
        path: PathBuf,
        /// The row group, from 0.
        row_group: usize,
        /// The row in the file, from 0.
        row: u64,
        /// The position in the row, from 0.
        position: usize,
        /// What is there, as text: it may be negative, or larger than any token.
        id: String,
        /// The number of ids.
        vocab_size: u32,
    },
    /// A list of another length than `num_tokens` says.
    #[error("row {row} of `{}` has {found} tokens, its `num_tokens` is {expected}", path.display())]
    NumTokens {
        /// The file.
        path: PathBuf,
        /// The row in the file, from 0.
        row: u64,
        /// The value of `num_tokens`.
        expected: u64,
        /// The list's length.
        found: u64,
    },
    /// A row group that holds other than the manifest says.
    #[error("row group {row_group} of `{}` holds {found} {what}, expected {expected}", path.display())]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// The row group, from 0.
        row_group: usize,
        /// What was counted: `rows`, `tokens`, …
        what: &'static str,
        /// The manifest's count.
        expected: u64,
        /// The count.
        found: u64,
    },
    /// More tokens in one row group than can be counted.
    #[error("row group {row_group} of `{}` has more than 2^32 tokens at row {row}", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The row group, from 0.
        row_group: usize,
        /// The row in the file, from 0.
        row: u64,
    },
    /// A sample that is too long for one row.
    #[error("sample {id} has {tokens} tokens, expected at most {limit}")]
    TooLong {
        /// The sample.
        id: super::SampleId,
        /// Its length.
        tokens: usize,
        /// The largest length.
        limit: usize,
    },
}

impl ShardError {
    pub(super) fn store(path: &Path) -> impl FnOnce(StoreError) -> Self {
        let path = path.to_owned();
        move |source| Self::Store { path, source }
    }

    pub(super) fn write<E: Into<ParquetFault>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source: source.into() }
    }
}
