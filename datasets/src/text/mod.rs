//! Raw documents out of text files, JSON lines and Parquet.
//!
//! A [`Corpus`] is divided into **chunks**, and the division is a function of the files' names and sizes alone: ranges
//! of about 1 MiB of a text file, one row group of a Parquet file. A chunk owns the documents that start in it, so any
//! worker reads any chunk, in any order, without state and without reading what came before.
//!
//! | format | by its extension | documents |
//! |---|---|---|
//! | [`Format::Txt`] | `.txt`, `.md` | as [`Split`] says; UTF-8, a byte order mark is passed over |
//! | [`Format::Jsonl`] | `.jsonl` | one a line that is not blank: the string in [`CorpusSpec::field`] |
//! | [`Format::Parquet`] | `.parquet` | one a row: the column [`CorpusSpec::field`], plain or dictionary-encoded |
//!
//! Line ends around a document are not part of it; a document of white space alone is none.

mod columns;
mod error;
mod files;
mod map;
mod split;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use error::TextError;
use files::{Found, Kind};
use map::Mapped;
use serde_json::Value;

use crate::store::{Digest, Hasher};

/// The length of a chunk of text, before it is stretched to the end of its last document.
pub const DEFAULT_CHUNK_BYTES: u64 = 1 << 20;

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
    /// Where it starts in the file: the byte, or in Parquet the row.
    pub at: u64,
}

/// A corpus that was opened: its files, and its division into chunks.
#[derive(Debug, Clone)]
pub struct Corpus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: Vec<(Found, Arc<str>)>,
    chunks: Vec<Chunk>,
    split: Split,
    field: String,
}

#[derive(Debug)]
enum Chunk {
    Bytes { file: usize, range: Range<u64> },
    RowGroup { file: usize, row_group: usize },
}

impl Corpus {
    /// Finds the files of a corpus and divides it into chunks. No document is read yet.
    ///
    /// # Errors
    /// [`TextError::NoFiles`] and [`TextError::Empty`] name the pattern; a Parquet file is checked to have the
    /// column, and the column to be text.
    pub fn open(spec: &CorpusSpec) -> Result<Self, TextError> {
        Self::open_chunked(spec, DEFAULT_CHUNK_BYTES)
    }

    /// [`open`](Self::open), with another length of chunks. The documents are the same.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_chunked(spec: &CorpusSpec, chunk_bytes: u64) -> Result<Self, TextError> {
        let chunk_bytes = chunk_bytes.max(1);
        let undivided = match &spec.split {
            Split::File => true,
            Split::Delimiter(delimiter) if delimiter.is_empty() => {
                return Err(TextError::EmptyDelimiter);
            }
            Split::Delimiter(delimiter) => split::overlaps_itself(delimiter),
            Split::BlankLine | Split::Line => false,
        };
        let found = files::find(&spec.path, spec.format)?;
        let mut chunks = Vec::new();
        for (file, Found { path, kind, bytes, .. }) in found.iter().enumerate() {
            match kind {
                Kind::Parquet => {
                    let groups = columns::num_row_groups(path, &spec.field)?;
                    chunks.extend((0..groups).map(|row_group| Chunk::RowGroup { file, row_group }));
                }
                Kind::Txt if undivided && *bytes > 0 => {
                    chunks.push(Chunk::Bytes { file, range: 0..*bytes });
                }
                Kind::Txt | Kind::Jsonl => {
                    let mut start = 0;
                    while start < *bytes {
                        let end = start.saturating_add(chunk_bytes).min(*bytes);
                        chunks.push(Chunk::Bytes { file, range: start..end });
                        start = end;
                    }
                }
            }
        }
        if chunks.is_empty() {
            return Err(TextError::Empty { pattern: spec.path.clone(), files: found.len() });
        }
        let files = found.into_iter().map(|f| (f.clone(), Arc::from(f.name))).collect();
        let (split, field) = (spec.split.clone(), spec.field.clone());
        Ok(Self { inner: Arc::new(Inner { files, chunks, split, field }) })
    }

    /// How many chunks the corpus has. A chunk may hold no document.
    pub fn num_chunks(&self) -> usize {
        self.inner.chunks.len()
    }

    /// How many bytes the corpus's files have.
    pub fn num_bytes(&self) -> u64 {
        self.files().map(|(_, bytes)| bytes).sum()
    }

    /// The names and lengths of the corpus's files, in order.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.inner.files.iter().map(|(file, name)| (&**name, file.bytes))
    }

    /// The documents of a chunk, in order.
    ///
    /// # Errors
    /// What is wrong with the file, with the place in it.
    pub fn chunk(&self, index: usize) -> Result<Vec<Document>, TextError> {
        let chunks = self.num_chunks();
        let chunk = self.inner.chunks.get(index).ok_or(TextError::NoChunk { index, chunks })?;
        match chunk {
            Chunk::RowGroup { file, row_group } => {
                let (file, source) = &self.inner.files[*file];
                let texts = columns::row_group(&file.path, &self.inner.field, *row_group)?;
                let texts = texts.into_iter().filter(|(_, text)| !text.trim_ascii().is_empty());
                Ok(texts.map(|(at, text)| Document { text, source: source.clone(), at }).collect())
            }
            Chunk::Bytes { file, range } => {
                let (file, source) = &self.inner.files[*file];
                self.read_bytes(file, source, range)
            }
        }
    }

    fn read_bytes(
        &self,
        file: &Found,
        source: &Arc<str>,
        range: &Range<u64>,
    ) -> Result<Vec<Document>, TextError> {
        let mapped = Mapped::open(&file.path, file.bytes)?;
        let mark = if mapped.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let bytes = &mapped[mark..];
        // The file was mapped, so its length fits.
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).saturating_sub(mark);
        let mut documents = Vec::new();
        let by = if file.kind == Kind::Jsonl { &Split::Line } else { &self.inner.split };
        split::split(bytes, place(range.start)..place(range.end), by, |found| {
            let at = (found.start + mark) as u64;
            let raw = bytes[found.clone()].to_vec();
            let text = match file.kind {
                Kind::Jsonl => self.field_of(&raw, &file.path, &bytes[..found.start])?,
                _ => String::from_utf8(raw).map_err(|e| {
                    let offset = at + e.utf8_error().valid_up_to() as u64;
                    TextError::NotUtf8 { path: file.path.clone(), offset }
                })?,
            };
            if !text.trim_ascii().is_empty() {
                documents.push(Document { text, source: source.clone(), at });
            }
            Ok(())
        })?;
        Ok(documents)
    }

    /// The text of a line of JSON. `before` is the file up to it: lines are counted only for an error.
    fn field_of(&self, line: &[u8], path: &Path, before: &[u8]) -> Result<String, TextError> {
        let path = path.to_owned();
        let number = || before.iter().filter(|&&b| b == b'\n').count() as u64 + 1;
        let mut object: serde_json::Map<String, Value> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(source) => {
                return Err(TextError::BadJson { path, line: number(), source });
            }
        };
        let field = self.inner.field.clone();
        let found = match object.remove(&field) {
            Some(Value::String(text)) => return Ok(text),
            None => {
                return Err(TextError::MissingField { path, line: number(), field });
            }
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "a boolean",
            Some(Value::Number(_)) => "a number",
            Some(Value::Array(_)) => "an array",
            Some(Value::Object(_)) => "an object",
        };
        Err(TextError::WrongField { path, line: number(), field, found })
    }

    /// A digest by which a corpus is recognised: its files' names, their lengths, the first and last 64 KiB of each,
    /// how it is read, and its division into chunks. Not the time of a change, nor where the folder lies.
    ///
    /// # Errors
    /// [`TextError::Io`] if a file cannot be read.
    pub fn fingerprint(&self) -> Result<Digest, TextError> {
        const EDGE: usize = 64 << 10;
        let mut hasher = Hasher::new();
        let text = format!("{:?} {:?} {}", self.inner.split, self.inner.field, self.num_chunks());
        hasher.update(text.as_bytes());
        for (file, name) in &self.inner.files {
            let mapped = Mapped::open(&file.path, file.bytes)?;
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            hasher.update(&file.bytes.to_le_bytes());
            hasher.update(&mapped[..mapped.len().min(EDGE)]);
            hasher.update(&mapped[mapped.len().saturating_sub(EDGE)..]);
        }
        Ok(hasher.digest())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
