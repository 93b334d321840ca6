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

/// Takes a part of a map out of this process's memory, where the system can: the next access reads the file again.
#[cfg_attr(
    unix,
    expect(unsafe_code, reason = "this advice would lose what was written to a private map")
)]
pub(super) fn forget(mapped: &Mmap, start: usize, length: usize) {
    #[cfg(unix)]
    // SAFETY: the map is read-only and of a file, so every page of it is read from there again, as `map` read it.
    // It is advice: where it fails, the memory stays taken and nothing is wrong.
    drop(unsafe {
        mapped.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length)
    });
    #[cfg(not(unix))]
    let _ = (mapped, start, length);
}
