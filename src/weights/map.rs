//! A file as a slice of memory.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// Maps a file for reading.
#[expect(unsafe_code, reason = "mapping a file is unsafe: another process may change it")]
pub(super) fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the map is read-only, and every tensor is copied out of it before it is used. A model that
    // is overwritten while it is loaded gives wrong weights, as it would if it were read.
    unsafe { Mmap::map(&file) }
}
