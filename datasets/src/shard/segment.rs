//! Hashes a file segment by segment while it is written.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use super::Checksum;
use super::checksum::Summing;
use crate::store::AtomicFile;

/// A file that is hashed as it is written.
pub(crate) struct Sink {
    file: AtomicFile,
    progress: Arc<Mutex<Progress>>,
}

/// Ends the segments of a [`Sink`], which its writer owns.
pub(crate) struct Segments(Arc<Mutex<Progress>>);

/// What went to the file: the segment that began with the last one's end is hashed by itself.
#[derive(Default)]
struct Progress {
    start: u64,
    bytes: u64,
    summing: Summing,
}

impl Sink {
    pub(crate) fn new(file: AtomicFile) -> (Self, Segments) {
        let progress = Arc::new(Mutex::new(Progress::default()));
        (Self { file, progress: Arc::clone(&progress) }, Segments(progress))
    }

    pub(crate) fn into_file(self) -> AtomicFile {
        self.file
    }
}

impl Segments {
    /// Ends a segment, and gives its offset, its length and its hash.
    pub(crate) fn take(&self) -> (u64, u64, Checksum) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = progress.start + progress.bytes;
        let Progress { start: offset, bytes, summing } =
            mem::replace(&mut *progress, Progress { start, ..Progress::default() });
        (offset, bytes, summing.finish())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.summing.update(&bytes[..n]);
        progress.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
