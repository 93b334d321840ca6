//! A text file as a slice of memory.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::TextError;

/// The bytes of a file.
pub(super) struct Mapped(Option<Mmap>);

impl Mapped {
    /// Maps a file that had `expected` bytes when the corpus was opened.
    #[expect(unsafe_code, reason = "mapping a file is unsafe: another process may change it")]
    pub(super) fn open(path: &Path, expected: u64) -> Result<Self, TextError> {
        let file = File::open(path).map_err(TextError::io(path, "open"))?;
        let found = file.metadata().map_err(TextError::io(path, "read"))?.len();
        if found != expected {
            return Err(TextError::Changed { path: path.to_owned(), expected, found });
        }
        if found == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the map is read-only and private to this call's documents, which are copied out and checked to be
        // UTF-8 after the copy. A corpus must not be changed while it is read; the length has just been checked.
        let map = unsafe { Mmap::map(&file) }.map_err(TextError::io(path, "map"))?;
        Ok(Self(Some(map)))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
