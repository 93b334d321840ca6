//! Where things lie in a cache, and the columns of its shards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};

use super::stored::{LISTS, List};
use super::{Identity, LogitError, Profile, ValueCode};
use crate::store::{Digest, create_dir_all, sealed};

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The directories and files of a cache.
#[derive(Debug, Clone)]
pub(super) struct Dir(pub(super) PathBuf);

/// What `_tlc/format.json` says.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Format {
    version: u32,
    fingerprint: Digest,
    identity: Identity,
}

impl Dir {
    pub(super) fn format(&self) -> PathBuf {
        self.0.join("_tlc").join("format.json")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("_tlc").join("log")
    }

    pub(super) fn commit(&self, number: u64) -> PathBuf {
        self.log().join(format!("{number:020}.json"))
    }

    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// What a shard of a digest is called: `data/af/af13….parquet`.
    pub(super) fn shard_name(digest: Digest) -> String {
        let name = digest.to_string();
        format!("data/{}/{name}.parquet", &name[..2])
    }

    /// Reads whose logits they are.
    pub(super) fn identity(&self) -> Result<Identity, LogitError> {
        let path = self.format();
        if !path.exists() {
            let (path, found) = (self.0.clone(), self.describe());
            return Err(LogitError::NotACache { path, found });
        }
        let (format, _) = sealed::read::<Format>(&path).map_err(LogitError::store(&path))?;
        if format.version != VERSION {
            let found = format.version;
            return Err(LogitError::Version { path, expected: VERSION, found });
        }
        Ok(format.identity)
    }

    /// Makes a cache of the directory, which must be absent or empty, or hold one that is the same. Gives whose it is.
    pub(super) fn create(&self, identity: &Identity) -> Result<Identity, LogitError> {
        identity.check()?;
        let path = self.format();
        if !path.exists() {
            let entries = self.0.read_dir().into_iter().flatten().flatten();
            // What an earlier attempt left is no obstacle: without a commit it holds nothing.
            let foreign =
                |name: &std::ffi::OsStr| !["_tlc", "data", "tmp"].iter().any(|n| name == *n);
            let has_commits = self.commit(0).exists();
            if has_commits || entries.map(|entry| entry.file_name()).any(|name| foreign(&name)) {
                let (path, found) = (self.0.clone(), self.describe());
                return Err(LogitError::NotACache { path, found });
            }
            self.make_dirs()?;
            let (identity, fingerprint) = (identity.clone(), identity.fingerprint());
            let format = Format { version: VERSION, fingerprint, identity };
            sealed::write_new(&path, &format).map_err(LogitError::store(&path))?;
        }
        let found = self.identity()?;
        self.require(identity, &found)?;
        self.make_dirs()?;
        Ok(found)
    }

    fn make_dirs(&self) -> Result<(), LogitError> {
        let mut dirs = [self.log(), self.data(), self.tmp()].into_iter();
        dirs.try_for_each(|dir| create_dir_all(&dir).map_err(LogitError::store(&dir)))
    }

    pub(super) fn require(&self, expected: &Identity, found: &Identity) -> Result<(), LogitError> {
        let differences = expected.differences(found);
        if differences.is_empty() {
            return Ok(());
        }
        Err(LogitError::Other { path: self.0.clone(), differences })
    }

    fn describe(&self) -> String {
        match self.0.read_dir() {
            Err(error) => error.to_string(),
            Ok(entries) => {
                let mut names: Vec<_> = entries
                    .flatten()
                    .map(|entry| format!("`{}`", entry.file_name().to_string_lossy()))
                    .collect();
                names.sort();
                match names.len() {
                    0 => "nothing".to_owned(),
                    1..=4 => names.join(", "),
                    n => format!("{} and {} more", names[..4].join(", "), n - 4),
                }
            }
        }
    }
}

/// A path within a cache, if it is one that a shard can have.
pub(super) fn shard_path(cache: &Path, name: &str) -> Option<PathBuf> {
    let plain =
        name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\\');
    (plain && name.starts_with("data/")).then(|| cache.join(name))
}

/// The columns that are lists, in the order of [`List`].
pub(super) const LIST_COLUMNS: [&str; LISTS] =
    ["input_ids", "k", "ids", "top1_lp", "dcode", "tail_lp", "label_lp", "logz", "tau", "n_tail"];

/// A column of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    Source,
    NumTokens,
    K,
    Crc,
    List(List),
}

/// The columns, in order.
pub(super) const COLUMNS: [(&str, Column); 15] = [
    ("sample_id", Column::Id),
    ("n_tokens", Column::NumTokens),
    ("source", Column::Source),
    ("k_max", Column::K),
    ("input_ids", Column::List(List::Tokens)),
    ("k", Column::List(List::Counts)),
    ("ids", Column::List(List::Ids)),
    ("top1_lp", Column::List(List::First)),
    ("dcode", Column::List(List::Codes)),
    ("tail_lp", Column::List(List::Tail)),
    ("label_lp", Column::List(List::Label)),
    ("logz", Column::List(List::LogZ)),
    ("tau", Column::List(List::Tau)),
    ("n_tail", Column::List(List::Drawn)),
    ("row_crc", Column::Crc),
];

pub(super) fn schema(values: ValueCode) -> Schema {
    let item = |column| match column {
        Column::List(List::Tokens | List::Ids | List::Counts) => DataType::UInt32,
        Column::List(List::Codes) if values == ValueCode::Sqrt8 => DataType::UInt8,
        _ => DataType::UInt16,
    };
    let field = |(name, column): (&str, Column)| {
        let data_type = match column {
            Column::Id => DataType::FixedSizeBinary(16),
            Column::Source => DataType::Utf8,
            Column::NumTokens | Column::K => DataType::UInt32,
            Column::Crc => DataType::UInt64,
            Column::List(_) => DataType::List(Arc::new(Field::new("item", item(column), false))),
        };
        Field::new(name, data_type, false)
    };
    Schema::new(COLUMNS.map(field).to_vec())
}

/// What a shard says of itself, in its footer.
pub(super) fn notes(identity: &Identity, profile: &Profile) -> Vec<(String, String)> {
    let value = format!("logp = top1 - {}", identity.values.sql("c"));
    let notes = [
        ("version", VERSION.to_string()),
        ("fingerprint", identity.fingerprint().to_string()),
        ("teacher_fp", identity.teacher.fingerprint().to_string()),
        ("tokenizer_fp", identity.tokenizer.fingerprint().to_string()),
        ("vocab_size", identity.vocab_size.to_string()),
        ("value_code", format!("{}: {value}", identity.values)),
        ("scalars", "-n / 2048, and 65535 for the logarithm of 0".to_owned()),
        ("profile", profile.to_string()),
        ("temperatures", format!("{:?}", identity.temperatures)),
    ];
    notes.into_iter().map(|(key, value)| (format!("tlc.{key}"), value)).collect()
}
