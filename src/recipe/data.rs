//! `[data.<name>]`: where text comes from.

use std::fmt;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};

/// Stories that are generated, unless `num_stories` says otherwise.
pub const DEFAULT_NUM_STORIES: u64 = 6000;
/// The JSON field or Parquet column of text, unless `field` says otherwise.
pub const DEFAULT_FIELD: &str = "text";
/// The Parquet column of token lists, unless `field` says otherwise.
pub const DEFAULT_TOKENS_FIELD: &str = "tokens";

/// What the files hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// What the extension says.
    #[default]
    Auto,
    /// Plain text.
    Txt,
    /// One JSON object a line.
    Jsonl,
    /// A Parquet column of strings.
    Parquet,
    /// Tokens already: a folder of shards with their manifest, here or on an object store, or Parquet files
    /// with a column of integer lists.
    Tokens,
}

/// A corpus that is made instead of read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// Stories by a probabilistic grammar whose entropy is known.
    Stories,
}

/// Where one document of plain text ends and the next begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// At blank lines.
    #[default]
    BlankLine,
    /// At line ends.
    Line,
    /// At the end of the file.
    File,
    /// At every occurrence of this text.
    Delimiter(String),
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlankLine => "blank_line",
            Self::Line => "line",
            Self::File => "file",
            Self::Delimiter(text) => text,
        })
    }
}

impl Serialize for Split {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl From<String> for Split {
    fn from(text: String) -> Self {
        match text.as_str() {
            "blank_line" => Self::BlankLine,
            "line" => Self::Line,
            "file" => Self::File,
            _ => Self::Delimiter(text),
        }
    }
}

/// One source of text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// A file, a folder or a glob. Exactly one of `path` and `generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What to make instead of reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generator>,
    /// How many; written out as [`DEFAULT_NUM_STORIES`] once resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_stories: Option<u64>,
    /// What the files hold.
    pub format: Format,
    /// How plain text is cut into documents.
    pub split: Split,
    /// The JSON field or Parquet column; [`DEFAULT_FIELD`] or [`DEFAULT_TOKENS_FIELD`], if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Its share of the tokens that are trained on, relative to those of the other sources. All sources have one, or
    /// none: then each is read in proportion to its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Where its held-out tokens are, of `format = "tokens"`; none are held out of it, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<String>,
    /// How often it is read, and no more; as often as the run needs, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
}

impl Source {
    /// The JSON field or Parquet column.
    pub fn field(&self) -> &str {
        let default = match self.format {
            Format::Tokens => DEFAULT_TOKENS_FIELD,
            _ => DEFAULT_FIELD,
        };
        self.field.as_deref().unwrap_or(default)
    }

    /// Whether it is tokens already.
    pub fn is_tokens(&self) -> bool {
        self.format == Format::Tokens
    }
}
