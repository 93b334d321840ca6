//! The documents of chunks.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use super::codec::{Codec, Counted, Decoder};
use super::corpus::{Corpus, Part};
use super::cursor::Cursor;
use super::files::{Found, Kind};
use super::frames::Frames;
use super::line::{self, Fault};
use super::map::Mapped;
use super::{Document, Split, TextError, columns, split};

/// How many compressed files a reader keeps open.
const OPEN: usize = 4;

/// A reader of a corpus's chunks. It keeps a few compressed files open where it stopped, which makes chunks in order
/// fast and changes nothing else.
pub struct Reader {
    corpus: Corpus,
    /// By file, the one that was used last at the end.
    open: Vec<(usize, Cursor)>,
}

/// What a chunk holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// Its documents, in order.
    pub documents: Vec<Document>,
    /// How many lines of JSON and rows of Parquet hold a blank text, and are no documents.
    pub num_empty: u64,
}

impl Chunk {
    fn push(&mut self, document: Document) {
        if document.text.trim_ascii().is_empty() {
            self.num_empty += 1;
        } else {
            self.documents.push(document);
        }
    }
}

impl Reader {
    pub(super) fn new(corpus: Corpus) -> Self {
        Self { corpus, open: Vec::new() }
    }

    /// The corpus that is read.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// The documents of a chunk, in order.
    ///
    /// # Errors
    /// What is wrong with the file, with the place in it.
    pub fn chunk(&mut self, index: usize) -> Result<Vec<Document>, TextError> {
        Ok(self.read(index)?.documents)
    }

    /// The documents of a chunk, in order, and how many were blank.
    ///
    /// # Errors
    /// What is wrong with the file, with the place in it.
    pub fn read(&mut self, index: usize) -> Result<Chunk, TextError> {
        let corpus = self.corpus.clone();
        let (number, part, range) = corpus.place(index)?;
        let file = &part.file;
        match (file.kind, &part.frames, file.codec) {
            (Kind::Parquet, ..) => {
                let row_group = usize::try_from(range.start).unwrap_or(usize::MAX);
                let texts = columns::row_group(&file.path, corpus.field(), row_group)?;
                let mut chunk = Chunk::default();
                for (at, text) in texts {
                    chunk.push(Document { text, source: part.name.clone(), at });
                }
                Ok(chunk)
            }
            (_, Some(frames), Some(codec)) => {
                self.compressed(&corpus, number, part, (codec, frames), &range)
            }
            _ => plain(&corpus, part, &range),
        }
    }

    fn compressed(
        &mut self,
        corpus: &Corpus,
        number: usize,
        part: &Part,
        (codec, frames): (Codec, &Frames),
        range: &Range<u64>,
    ) -> Result<Chunk, TextError> {
        let (file, by) = (&part.file, by(corpus, part));
        // One that is behind the last frame's start is not worth its decompression.
        let usable = |(n, cursor): &(usize, Cursor)| {
            *n == number
                && cursor.reaches(frames, range.start, by)
                && cursor.end() >= frames.before(range.start).1
        };
        let mut cursor = match self.open.iter().rposition(usable) {
            Some(place) => self.open.remove(place).1,
            None => Cursor::open(file, codec, frames, range.start, by)?,
        };
        let found = match cursor.read(file, frames, range, by)? {
            Some(found) => found,
            None => {
                cursor = Cursor::open(file, codec, frames, 0, by)?;
                let changed = || TextError::Changed {
                    path: file.path.clone(),
                    expected: frames.text_bytes,
                    found: range.start,
                };
                cursor.read(file, frames, range, by)?.ok_or_else(changed)?
            }
        };
        let mut chunk = Chunk::default();
        for found in found {
            let at = cursor.place(found.start);
            let line = || lines_before(file, codec, at);
            chunk.push(document(corpus, part, &cursor.text()[found], at, line)?);
        }
        cursor.forget(frames, range.end, by);
        if self.open.len() >= OPEN {
            self.open.remove(0);
        }
        self.open.push((number, cursor));
        Ok(chunk)
    }
}

fn by<'a>(corpus: &'a Corpus, part: &Part) -> &'a Split {
    if part.file.kind == Kind::Jsonl { &Split::Line } else { corpus.split() }
}

fn plain(corpus: &Corpus, part: &Part, range: &Range<u64>) -> Result<Chunk, TextError> {
    let mapped = Mapped::open(&part.file.path, part.file.bytes)?;
    let mark = if mapped.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let bytes = &mapped[mark..];
    // The file was mapped, so its length fits.
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).saturating_sub(mark);
    let mut chunk = Chunk::default();
    split::split(bytes, place(range.start)..place(range.end), by(corpus, part), |found| {
        let line = || Ok(num_lines(&bytes[..found.start]));
        let at = (found.start + mark) as u64;
        chunk.push(document(corpus, part, &bytes[found.clone()], at, line)?);
        Ok(())
    })?;
    Ok(chunk)
}

/// The document of some bytes at a place in the text. `lines` counts those before it, for an error.
fn document(
    corpus: &Corpus,
    part: &Part,
    bytes: &[u8],
    at: u64,
    lines: impl FnOnce() -> Result<u64, TextError>,
) -> Result<Document, TextError> {
    let path = || part.file.path.clone();
    // Copied first: what is checked then cannot change any more.
    let bytes = bytes.to_vec();
    let text = if part.file.kind == Kind::Jsonl {
        let field = || corpus.field().to_owned();
        match line::field(&bytes, corpus.field()) {
            Ok(text) => text,
            Err(fault) => {
                let line = lines()? + 1;
                return Err(match fault {
                    Fault::Json(source) => TextError::BadJson { path: path(), line, source },
                    Fault::Missing => {
                        TextError::MissingField { path: path(), line, field: field() }
                    }
                    Fault::Kind(found) => {
                        TextError::WrongField { path: path(), line, field: field(), found }
                    }
                });
            }
        }
    } else {
        String::from_utf8(bytes).map_err(|e| {
            let offset = at + e.utf8_error().valid_up_to() as u64;
            TextError::NotUtf8 { path: path(), offset }
        })?
    };
    Ok(Document { text, source: part.name.clone(), at })
}

/// Lines of a compressed file, counted from its start.
fn lines_before(file: &Found, codec: Codec, at: u64) -> Result<u64, TextError> {
    let start = Counted::open(&file.path, file.bytes, 0)?;
    let mut decoder = Decoder::new(codec, start).map_err(|e| codec.bad(&file.path, 0, e))?.take(at);
    let (mut buffer, mut lines) = (vec![0; 1 << 16], 0);
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return Ok(lines),
            Ok(read) => lines += num_lines(&buffer[..read]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(codec.bad(&file.path, decoder.get_ref().at(), e)),
        }
    }
}

fn num_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&b| b == b'\n').count() as u64
}
