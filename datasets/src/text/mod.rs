//! Raw documents out of text files, JSON lines and Parquet.
//!
//! A [`Corpus`] is divided into **chunks**, and the division is a function of the files alone: ranges of about 1 MiB of
//! text, one row group of a Parquet file. A chunk owns the documents that start in it, so any worker reads any chunk,
//! in any order, without what came before.
//!
//! | format | by its extension | documents |
//! |---|---|---|
//! | [`Format::Txt`] | `.txt`, `.md` | as [`Split`] says; UTF-8, a byte order mark is passed over |
//! | [`Format::Jsonl`] | `.jsonl`; `.json` if compressed | one a line that is not blank: the string in [`CorpusSpec::field`] |
//! | [`Format::Parquet`] | `.parquet` | one a row: the column [`CorpusSpec::field`], plain or dictionary-encoded |
//!
//! Text and JSON lines may be **compressed**: `.gz` (any number of members) or `.zst` (any number of frames) behind the
//! extension. The chunks are then ranges of the decompressed text, and so are the places of documents and of errors.
//! Such a chunk is read by decompressing from the last frame before it that is known, often the file's start: any chunk
//! alone is right, and slow. A [`Reader`] keeps what it has open, so that chunks in order cost one pass; each worker
//! has its own. Gzip does not say how long its text is, so opening the corpus decompresses gzip files once.
//! Nothing is held but the chunk and the documents that start in it, each of at most 256 MiB.
//!
//! Line ends around a document are not part of it; a document of white space alone is none.

mod chunk;
mod codec;
mod columns;
mod corpus;
mod cursor;
mod error;
mod files;
mod frames;
mod line;
mod long;
mod map;
mod reader;
mod split;

use std::sync::Arc;

pub use chunk::{Chunk, DocumentRef};
pub use corpus::{Corpus, DEFAULT_CHUNK_BYTES};
pub use error::TextError;
pub(crate) use long::pieces;
pub use long::{LongDocuments, cut};
pub use reader::Reader;

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// By the file's extension.
    #[default]
    Auto,
    /// Text, divided by [`Split`].
    Txt,
    /// A JSON object a line.
    Jsonl,
    /// A Parquet column of text.
    Parquet,
}

/// What ends a document in a text file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Split {
    /// A line of nothing but white space.
    #[default]
    BlankLine,
    /// A line's end.
    Line,
    /// The file's end.
    File,
    /// This text, which is not part of any document.
    Delimiter(String),
}

/// Where the documents are, and how to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusSpec {
    /// A file, a folder (with all below it) or a glob.
    pub path: String,
    /// How the files are read.
    pub format: Format,
    /// What ends a document, in text files.
    pub split: Split,
    /// The field or column that holds the text, in JSON lines and Parquet.
    pub field: String,
}

impl CorpusSpec {
    /// A corpus read by its files' extensions, blank lines between documents, text in the field `text`.
    pub fn new(path: impl Into<String>) -> Self {
        let (format, split) = Default::default();
        Self { path: path.into(), format, split, field: "text".to_owned() }
    }
}

/// A document as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its text.
    pub text: String,
    /// The name of its file, from the corpus's folder.
    pub source: Arc<str>,
    /// Where it starts in the file: the byte (of the decompressed text), or in Parquet the row.
    pub at: u64,
}

#[cfg(test)]
mod compressed_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
