//! What can be wrong with a cache.

use std::path::{Path, PathBuf};

use super::identity::Difference;
use super::{Profile, ValueCode};
use crate::parquet_file::ParquetFault;
use crate::shard::{SampleId, ShardError};
use crate::store::StoreError;

/// An error of a cache of logits: the file or the sample, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogitError {
    /// A directory that is something else.
    #[error("`{}` is not a cache of logits: expected `_tlc/format.json` in it, found {found}", path.display())]
    NotACache {
        /// The directory.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// The store refused: a manifest is damaged, or a file cannot be written.
    #[error("`{}` of the cache cannot be stored or read", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A format that this version does not read.
    #[error("`{}` has format version {found}, expected {expected}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version this code reads.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// A cache of another teacher, tokenizer, template, vocabulary or code.
    #[error("the cache at `{}` holds other logits than are expected:{}", path.display(), listed(differences))]
    Other {
        /// The cache.
        path: PathBuf,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// A profile whose entries are not of the cache's kind.
    #[error("the profile `{profile}` cannot be stored in `{}`: its values are `{values}`, {}", path.display(), if *sampled { "sampled" } else { "not sampled" })]
    OtherProfile {
        /// The cache.
        path: PathBuf,
        /// The profile.
        profile: Profile,
        /// The cache's code.
        values: ValueCode,
        /// Whether its entries are sampled.
        sampled: bool,
    },
    /// An identity that cannot be.
    #[error("{what} is {found}, expected {expected}")]
    BadIdentity {
        /// Which part of it.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A commit that is not there, though a later one is.
    #[error("`{}` is missing: the log has a later commit", path.display())]
    NoCommit {
        /// The commit's file.
        path: PathBuf,
    },
    /// The log does not fit together.
    #[error("commit {number} of `{}` removes `{file}`, which is not there", path.display())]
    BadCommit {
        /// The cache.
        path: PathBuf,
        /// The commit.
        number: u64,
        /// The shard.
        file: String,
    },
    /// A sample that cannot be stored.
    #[error("sample {id} cannot be stored{}", at(*position))]
    Sample {
        /// The sample.
        id: SampleId,
        /// The position, where it is one's fault.
        position: Option<usize>,
        /// Why.
        source: SampleFault,
    },
    /// A Parquet file that cannot be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetFault,
    },
    /// A shard that cannot be read.
    #[error("a shard of the cache cannot be read")]
    Shard(#[from] ShardError),
    /// A row that makes no sense.
    #[error("row {row} of row group {row_group} of `{}` is damaged", path.display())]
    Row {
        /// The shard.
        path: PathBuf,
        /// The row group, from 0.
        row_group: usize,
        /// The row of the row group, from 0.
        row: usize,
        /// What is wrong with it.
        source: RowFault,
    },
    /// A sample that is not in the cache.
    #[error("the cache at `{}` has no sample {id}", path.display())]
    NoSample {
        /// The cache.
        path: PathBuf,
        /// The sample.
        id: SampleId,
    },
    /// More entries than are stored.
    #[error("sample {id} is stored with {stored} entries a token in `{}`, expected at least {asked}", path.display())]
    TooFew {
        /// The cache.
        path: PathBuf,
        /// The sample.
        id: SampleId,
        /// What it has.
        stored: u32,
        /// What was asked for.
        asked: u32,
    },
    /// Something of entries that were drawn which only all of them are good for.
    #[error("the entries in `{}` are sampled, and {asked} is not for those", path.display())]
    Sampled {
        /// The cache.
        path: PathBuf,
        /// What was asked for.
        asked: String,
    },
    /// Files of others that cannot be taken in.
    #[error("`{}` cannot be imported: {what}", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        what: String,
    },
    /// A level of verification for which something is lacking.
    #[error("verification has levels 0 to 4; {level} {}", if *level > 4 { "is none" } else { "needs the teacher" })]
    Level {
        /// The level.
        level: u8,
    },
    /// A check of the teacher failed to run.
    #[error("the check against the teacher could not be made")]
    Teacher(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a sample cannot be stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleFault {
    /// Lists that do not fit together.
    #[error("it has {found} {what}, expected {expected}")]
    Shape {
        /// Of what.
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// An id that is not of the vocabulary.
    #[error("id {id} is out of range: expected less than {vocab_size}")]
    IdOutOfRange {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        vocab_size: u32,
    },
    /// An id twice.
    #[error("id {id} is among the entries twice")]
    Twice {
        /// The id.
        id: u32,
    },
    /// A number that is no logarithm of a probability.
    #[error("{log_prob} of the {what} is no log-probability")]
    NotALogarithm {
        /// Of what.
        what: &'static str,
        /// The number.
        log_prob: f32,
    },
    /// Entries out of order.
    #[error("entry {rank} is more probable than the one before: {after} after {before}")]
    NotDescending {
        /// Its rank, from 0.
        rank: usize,
        /// The one before.
        before: f32,
        /// This one.
        after: f32,
    },
    /// A distribution that is none.
    #[error("the entries and the tail have a mass of {mass}, expected 1")]
    Mass {
        /// Their mass.
        mass: f64,
    },
    /// Fewer entries than the profile keeps.
    #[error("it has {found} entries, expected at least {expected}")]
    TooFew {
        /// How many are kept.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A sample that is too long for a row.
    #[error("it has {found} entries, expected at most {limit}")]
    TooLong {
        /// How many there can be.
        limit: usize,
        /// How many there are.
        found: usize,
    },
}

/// What is wrong with a stored row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFault {
    /// A list of the wrong length.
    #[error("`{what}` has {found} values, expected {expected}")]
    Length {
        /// The column.
        what: &'static str,
        /// What the others speak for.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// A position without an entry.
    #[error("a position has no entry")]
    NoEntry,
    /// More drawn entries than entries.
    #[error("{drawn} of {entries} entries are said to be drawn")]
    Drawn {
        /// Entries.
        entries: usize,
        /// Of them drawn.
        drawn: usize,
    },
    /// An id that is not of the vocabulary.
    #[error("id {id} is out of range: expected less than {vocab_size}")]
    IdOutOfRange {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        vocab_size: u32,
    },
    /// Codes that rise beyond the last.
    #[error("the codes of position {position} run beyond {levels}")]
    Code {
        /// The position.
        position: usize,
        /// The largest code.
        levels: u32,
    },
    /// A distribution that is none.
    #[error("the entries and the tail of position {position} have a mass of {mass}, expected 1")]
    Mass {
        /// The position.
        position: usize,
        /// Their mass.
        mass: f64,
    },
    /// A row that is not what was written.
    #[error("its hash is {found:016x}, expected {expected:016x}")]
    Hash {
        /// The hash that is stored.
        expected: u64,
        /// The hash of what is there.
        found: u64,
    },
}

impl LogitError {
    pub(super) fn store(path: &Path) -> impl FnOnce(StoreError) -> Self {
        let path = path.to_owned();
        move |source| Self::Store { path, source }
    }

    pub(super) fn write<E: Into<ParquetFault>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self::Write { path, source: error.into() }
    }

    pub(super) fn sample(id: SampleId) -> impl FnOnce((Option<usize>, SampleFault)) -> Self {
        move |(position, source)| Self::Sample { id, position, source }
    }
}

fn at(position: Option<usize>) -> String {
    position.map(|position| format!(": position {position}")).unwrap_or_default()
}

fn listed(differences: &[Difference]) -> String {
    differences.iter().map(|difference| format!("\n    {difference}")).collect()
}
