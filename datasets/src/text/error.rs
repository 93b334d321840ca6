//! What can be wrong with a corpus.

use std::io;
use std::path::{Path, PathBuf};

use crate::parquet_file::ParquetFault;

/// An error of raw text: the file, the place in it, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The operating system refused an operation.
    #[error("could not {operation} `{}`", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// Why it was refused.
        source: io::Error,
    },
    /// A pattern that is no glob.
    #[error("`{pattern}` is not a glob pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// Nothing that could be read as text.
    #[error("`{pattern}` matches no file of text: expected {expected}")]
    NoFiles {
        /// The path or pattern.
        pattern: String,
        /// The kinds of files that would have done.
        expected: String,
    },
    /// Files, and nothing in them.
    #[error("`{pattern}` is an empty corpus: {files} files, 0 bytes")]
    Empty {
        /// The path or pattern.
        pattern: String,
        /// How many files it matches.
        files: usize,
    },
    /// A file whose format its name does not tell.
    #[error("the format of `{}` is not known from its name: expected .txt, .md or .jsonl, with .gz or .zst behind it or without, or .parquet", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A delimiter of no characters.
    #[error("the delimiter of documents is empty")]
    EmptyDelimiter,
    /// A file that changed after the corpus was opened.
    #[error("`{}` changed while it was read: it had {expected} bytes, now {found}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its length when the corpus was opened.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// A compressed file that is none, or is cut or damaged.
    #[error("`{}` is not a whole {codec} stream: it stops making sense at byte {offset}", path.display())]
    BadStream {
        /// The file.
        path: PathBuf,
        /// How it should be compressed.
        codec: &'static str,
        /// Where in the compressed file decompression stopped, or a frame starts that is none.
        offset: u64,
        /// What is wrong there.
        source: io::Error,
    },
    /// A document of a compressed file that is too long to be held.
    #[error("a document in the text of `{}`, at or after byte {offset}, is longer than {most} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The place in its text from which on the text was held.
        offset: u64,
        /// The longest text that is held.
        most: u64,
    },
    /// A chunk that the corpus does not have.
    #[error("the corpus has {chunks} chunks, no chunk {index}")]
    NoChunk {
        /// The index that was asked for.
        index: usize,
        /// The number of chunks.
        chunks: usize,
    },
    /// Bytes that are no text.
    #[error("`{}` is not UTF-8 at byte {offset}", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first byte that is wrong; in a compressed file, of its text.
        offset: u64,
    },
    /// A line that is no JSON object.
    #[error("line {line} of `{}` is not a JSON object", path.display())]
    BadJson {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A JSON object without the field.
    #[error("line {line} of `{}` has no field `{field}`", path.display())]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The field.
        field: String,
    },
    /// A JSON object whose field is no string.
    #[error("field `{field}` in line {line} of `{}` is {found}, expected a string", path.display())]
    WrongField {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The field.
        field: String,
        /// The type of what is there.
        found: &'static str,
    },
    /// A file that is not Parquet, or a damaged one.
    #[error("`{}` is not a whole Parquet file", path.display())]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// Where it stopped making sense.
        source: ParquetFault,
    },
    /// A Parquet file without the column.
    #[error("`{}` has no column `{column}`: it has {}", path.display(), have.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns it has.
        have: Vec<String>,
    },
    /// A column that holds no text.
    #[error("column `{column}` of `{}` is {found}, expected text", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// A null where a document should be.
    #[error("column `{column}` of `{}` is null in row {row}", path.display())]
    Null {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The row in the file, from 0.
        row: u64,
    },
    /// A row group that does not decode.
    #[error("row group {row_group} of `{}` cannot be read", path.display())]
    BadRowGroup {
        /// The file.
        path: PathBuf,
        /// The row group, from 0.
        row_group: usize,
        /// What is wrong with it.
        source: ParquetFault,
    },
}

impl TextError {
    pub(super) fn io(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, operation, source }
    }
}
