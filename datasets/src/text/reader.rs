//! The documents of chunks.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

use super::chunk::{Chunk, Gathering};
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
/// Room for the end of a chunk's last document.
const ROOM: usize = 4 << 10;

/// A reader of a corpus's chunks. It keeps a few compressed files open where it stopped, which makes chunks in order
/// fast and changes nothing else.
pub struct Reader {
    corpus: Corpus,
    /// By file, the one that was used last at the end.
    open: Vec<(usize, Cursor)>,
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
        Ok(self.read(index)?.into_documents())
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
                let mut chunk = Gathering::default();
                texts.iter().for_each(|(at, text)| chunk.push(text.as_bytes(), *at));
                finish(part, chunk)
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
        let mut chunk = Gathering::default();
        for found in found {
            let at = cursor.place(found.start);
            let line = || lines_before(file, codec, at);
            document(corpus, part, &mut chunk, &cursor.text()[found], at, line)?;
        }
        cursor.forget(frames, range.end, by);
        if self.open.len() >= OPEN {
            self.open.remove(0);
        }
        self.open.push((number, cursor));
        finish(part, chunk)
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
    // The last document may reach beyond the range.
    let range_bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut chunk = Gathering::with_capacity(range_bytes.min(bytes.len()) + ROOM);
    split::split(bytes, place(range.start)..place(range.end), by(corpus, part), |found| {
        let line = || Ok(num_lines(&bytes[..found.start]));
        let at = (found.start + mark) as u64;
        document(corpus, part, &mut chunk, &bytes[found.clone()], at, line)
    })?;
    finish(part, chunk)
}

/// Adds the document of some bytes at a place in the text. `lines` counts those before it, for an error.
fn document(
    corpus: &Corpus,
    part: &Part,
    chunk: &mut Gathering,
    bytes: &[u8],
    at: u64,
    lines: impl FnOnce() -> Result<u64, TextError>,
) -> Result<(), TextError> {
    if part.file.kind != Kind::Jsonl {
        // Copied first, checked in the end: what is checked then cannot change any more.
        chunk.push(bytes, at);
        return Ok(());
    }
    // As above: the file may change while it is looked at.
    let bytes = bytes.to_vec();
    let text = line::field(&bytes, corpus.field());
    match text {
        Ok(text) => chunk.push(text.as_bytes(), at),
        Err(fault) => {
            let (path, field) = (part.file.path.clone(), corpus.field().to_owned());
            let line = lines()? + 1;
            return Err(match fault {
                Fault::Json(source) => TextError::BadJson { path, line, source },
                Fault::Missing => TextError::MissingField { path, line, field },
                Fault::Kind(found) => TextError::WrongField { path, line, field, found },
            });
        }
    }
    Ok(())
}

fn finish(part: &Part, chunk: Gathering) -> Result<Chunk, TextError> {
    let not_utf8 = |offset| TextError::NotUtf8 { path: part.file.path.clone(), offset };
    chunk.finish(Arc::clone(&part.name)).map_err(not_utf8)
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
