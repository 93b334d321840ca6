//! The files of a corpus, and their division into chunks.

use std::ops::Range;
use std::sync::Arc;

use super::files::{self, Found, Kind};
use super::frames::{self, Frames};
use super::map::Mapped;
use super::reader::Reader;
use super::{CorpusSpec, Document, Split, TextError, columns, split};
use crate::store::{Digest, Hasher};

/// The length of a chunk of text, before it is stretched to the end of its last document.
pub const DEFAULT_CHUNK_BYTES: u64 = 1 << 20;

/// A corpus that was opened: its files, and its division into chunks. Clones share it.
#[derive(Debug, Clone)]
pub struct Corpus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: Vec<Part>,
    num_chunks: usize,
    split: Split,
    field: String,
}

/// A file and its chunks. They are counted, not listed: a corpus may have millions.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: Found,
    pub(super) name: Arc<str>,
    /// What its text is, if it is compressed.
    pub(super) frames: Option<Frames>,
    /// The index of its first chunk in the corpus.
    first: usize,
    /// The length of its text, or the number of its row groups.
    length: u64,
    /// How much of the length a chunk is.
    step: u64,
}

impl Corpus {
    /// Finds the files of a corpus and divides it into chunks. No document is read yet; gzip files, and Zstandard files
    /// that do not say how long their text is, are decompressed once.
    ///
    /// # Errors
    /// [`TextError::NoFiles`] and [`TextError::Empty`] name the pattern; a Parquet file is checked to have the
    /// column, and the column to be text; [`TextError::BadStream`] names a compressed file that is cut.
    pub fn open(spec: &CorpusSpec) -> Result<Self, TextError> {
        Self::open_chunked(spec, DEFAULT_CHUNK_BYTES)
    }

    /// [`open`](Self::open), with another length of chunks. The documents are the same.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_chunked(spec: &CorpusSpec, chunk_bytes: u64) -> Result<Self, TextError> {
        let undivided = match &spec.split {
            Split::File => true,
            Split::Delimiter(delimiter) if delimiter.is_empty() => {
                return Err(TextError::EmptyDelimiter);
            }
            Split::Delimiter(delimiter) => split::overlaps_itself(delimiter),
            Split::BlankLine | Split::Line => false,
        };
        let found = files::find(&spec.path, spec.format)?;
        let frames = frames::of_files(&found)?;
        let (mut files, mut num_chunks) = (Vec::with_capacity(found.len()), 0);
        for (file, frames) in found.into_iter().zip(frames) {
            let text_bytes = frames.as_ref().map_or(file.bytes, |frames| frames.text_bytes);
            let (length, step) = match file.kind {
                Kind::Parquet => (columns::num_row_groups(&file.path, &spec.field)? as u64, 1),
                Kind::Txt if undivided => (text_bytes, u64::MAX),
                Kind::Txt | Kind::Jsonl => (text_bytes, chunk_bytes.max(1)),
            };
            let name = Arc::from(&*file.name);
            files.push(Part { file, name, frames, first: num_chunks, length, step });
            num_chunks += usize::try_from(length.div_ceil(step)).unwrap_or(usize::MAX);
        }
        if num_chunks == 0 {
            return Err(TextError::Empty { pattern: spec.path.clone(), files: files.len() });
        }
        let (split, field) = (spec.split.clone(), spec.field.clone());
        Ok(Self { inner: Arc::new(Inner { files, num_chunks, split, field }) })
    }

    /// How many chunks the corpus has. A chunk may hold no document.
    pub fn num_chunks(&self) -> usize {
        self.inner.num_chunks
    }

    /// How many bytes the corpus's files have, as they lie.
    pub fn num_bytes(&self) -> u64 {
        self.files().map(|(_, bytes)| bytes).sum()
    }

    /// The names and lengths of the corpus's files, in order.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.inner.files.iter().map(|part| (&*part.name, part.file.bytes))
    }

    /// The documents of a chunk, in order. Many chunks of compressed files are faster with a [`Reader`].
    ///
    /// # Errors
    /// What is wrong with the file, with the place in it.
    pub fn chunk(&self, index: usize) -> Result<Vec<Document>, TextError> {
        self.reader().chunk(index)
    }

    /// A reader of its chunks: one a worker.
    pub fn reader(&self) -> Reader {
        Reader::new(self.clone())
    }

    /// The file that a chunk is of (its place in [`files`](Self::files)). Chunks of a file follow one another.
    pub fn file_of(&self, index: usize) -> Option<usize> {
        let next = self.inner.files.partition_point(|part| part.first <= index);
        if index < self.num_chunks() { next.checked_sub(1) } else { None }
    }

    /// A chunk: its file, and its range of the text or the row groups.
    pub(super) fn place(&self, index: usize) -> Result<(usize, &Part, Range<u64>), TextError> {
        let chunks = self.num_chunks();
        let file = self.file_of(index).ok_or(TextError::NoChunk { index, chunks })?;
        let part = &self.inner.files[file];
        let start = ((index - part.first) as u64).saturating_mul(part.step);
        Ok((file, part, start..start.saturating_add(part.step).min(part.length)))
    }

    pub(super) fn split(&self) -> &Split {
        &self.inner.split
    }

    pub(super) fn field(&self) -> &str {
        &self.inner.field
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
        for Part { file, name, .. } in &self.inner.files {
            let mapped = Mapped::open(&file.path, file.bytes)?;
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            hasher.update(&file.bytes.to_le_bytes());
            hasher.update(&mapped[..mapped.len().min(EDGE)]);
            hasher.update(&mapped[mapped.len().saturating_sub(EDGE)..]);
        }
        Ok(hasher.digest())
    }
}
