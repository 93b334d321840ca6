//! How long the text of a compressed file is, and where in it decompression can start.
//!
//! Gzip does not say how long its text is, so a gzip file is decompressed once when the corpus is opened (which checks
//! all of it). Zstd says it as a rule, frame by frame, and is walked from block to block without being decompressed; a
//! frame that does not say it (written from a pipe) is decompressed. Several files are looked at in parallel.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use flate2::bufread::GzDecoder;
use zstd::zstd_safe;

use super::TextError;
use super::codec::{Codec, Counted, Decoder};
use super::files::Found;
use super::map::Mapped;

/// Frames that start closer to one another than this are not worth remembering.
const APART: u64 = 1 << 20;
/// A block of four bytes (three of header, one that is repeated) is at most 128 KiB of text.
const MOST_PER_BYTE: u64 = 1 << 15;

/// The text of a compressed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frames {
    /// How long it is.
    pub(super) text_bytes: u64,
    /// The length of the byte order mark at its start, 0 or 3.
    pub(super) mark: u64,
    /// Where frames start: in the file, and in the text. The first is (0, 0).
    starts: Vec<(u64, u64)>,
}

impl Frames {
    /// Where to start decompressing to reach a place in the text: in the file, and in the text.
    pub(super) fn before(&self, at: u64) -> (u64, u64) {
        let next = self.starts.partition_point(|(_, text)| *text <= at);
        self.starts.get(next.saturating_sub(1)).copied().unwrap_or_default()
    }

    fn of(file: &Found, codec: Codec) -> Result<Self, TextError> {
        let mut frames = Self { text_bytes: 0, mark: 0, starts: Vec::new() };
        match codec {
            Codec::Gzip => frames.count_gzip(file)?,
            Codec::Zstd => frames.count_zstd(file)?,
        }
        let start = Counted::open(&file.path, file.bytes, 0)?;
        let bad = |source| codec.bad(&file.path, 0, source);
        let mut head = Vec::new();
        Decoder::new(codec, start).map_err(bad)?.take(3).read_to_end(&mut head).map_err(bad)?;
        frames.mark = if head == b"\xef\xbb\xbf" { 3 } else { 0 };
        Ok(frames)
    }

    fn add(&mut self, at: u64, text_bytes: u64) {
        if self.starts.last().is_none_or(|(_, last)| self.text_bytes - last >= APART) {
            self.starts.push((at, self.text_bytes));
        }
        self.text_bytes = self.text_bytes.saturating_add(text_bytes);
    }

    fn count_gzip(&mut self, file: &Found) -> Result<(), TextError> {
        let mut counted = Counted::open(&file.path, file.bytes, 0)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let start = counted.at();
            let text_bytes = match count(&mut GzDecoder::new(&mut counted), &mut buffer) {
                Ok(text_bytes) => text_bytes,
                Err(source) => return Err(Codec::Gzip.bad(&file.path, counted.at(), source)),
            };
            self.add(start, text_bytes);
            if counted.fill_buf().map_err(TextError::io(&file.path, "read"))?.is_empty() {
                return Ok(());
            }
        }
    }

    fn count_zstd(&mut self, file: &Found) -> Result<(), TextError> {
        let mapped = Mapped::open(&file.path, file.bytes)?;
        let mut at = 0;
        let mut buffer = vec![0; 1 << 16];
        while at < mapped.len() || at == 0 {
            let bad = |source| Codec::Zstd.bad(&file.path, at as u64, source);
            let rest = &mapped[at..];
            let size = zstd_safe::find_frame_compressed_size(rest)
                .map_err(|code| bad(io::Error::other(zstd_safe::get_error_name(code))))?;
            let said = zstd_safe::get_frame_content_size(rest)
                .map_err(|e| bad(io::Error::other(e.to_string())))?;
            let text_bytes = match said {
                Some(n) if n / MOST_PER_BYTE > size as u64 => {
                    let what = format!("{size} bytes cannot be the {n} bytes that they say");
                    return Err(bad(io::Error::new(io::ErrorKind::InvalidData, what)));
                }
                Some(n) => n,
                None => {
                    let frame = zstd::Decoder::with_buffer(&rest[..size]).map_err(bad)?;
                    count(&mut frame.single_frame(), &mut buffer).map_err(bad)?
                }
            };
            self.add(at as u64, text_bytes);
            at += size;
        }
        Ok(())
    }
}

/// How many bytes come out of a reader.
fn count(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        match reader.read(buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes += read as u64,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Looks at the compressed ones of some files, on all cores. Of several that are bad the first is named.
pub(super) fn of_files(files: &[Found]) -> Result<Vec<Option<Frames>>, TextError> {
    let jobs: Vec<(usize, &Found, Codec)> = files
        .iter()
        .enumerate()
        .filter_map(|(n, file)| file.codec.map(|codec| (n, file, codec)))
        .collect();
    let results: Mutex<Vec<Option<Result<Frames, TextError>>>> =
        Mutex::new(files.iter().map(|_| None).collect());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((n, file, codec)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = Frames::of(file, *codec);
            results.lock().unwrap_or_else(PoisonError::into_inner)[*n] = Some(result);
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 1..cores.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(Option::transpose).collect()
}
