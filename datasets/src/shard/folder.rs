//! Where shards lie: a folder here, or one on an object store, behind two small traits.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use memmap2::Mmap;

use crate::storage::Counts;

/// A file's bytes, wherever they are.
pub trait ReadAt: Debug + Send + Sync {
    /// Its path or address, for errors.
    fn name(&self) -> String;

    /// Its length when it was opened.
    fn size(&self) -> u64;

    /// The bytes of a range.
    ///
    /// # Errors
    /// If they cannot be read, or the file is not the one that was opened.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// The bytes of a range once more, from where they come from: what was read was damaged.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_again(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.read(range)
    }

    /// A range will be read soon.
    fn will_need(&self, _: Range<u64>) {}

    /// What reading the store that it lies in has cost so far; nothing, on this machine.
    fn fetched(&self) -> Counts {
        Counts::default()
    }

    /// Whether the file still is the one that was opened.
    ///
    /// # Errors
    /// What is different.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder of files, wherever it is.
pub trait Folder: Debug + Send + Sync {
    /// Its path or address, for errors.
    fn name(&self) -> String;

    /// The names and lengths of the files in it, in order, without hidden ones and those that begin with `_`.
    ///
    /// # Errors
    /// If it cannot be listed.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Opens a file.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened.
    fn open(&self, file: &str) -> io::Result<Arc<dyn ReadAt>>;
}

/// A folder of this machine, or one file of it.
#[derive(Debug, Clone)]
pub struct LocalFolder(pub PathBuf);

impl Folder for LocalFolder {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        if fs::metadata(&self.0)?.is_file() {
            return Ok(vec![(String::new(), fs::metadata(&self.0)?.len())]);
        }
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = fs::metadata(entry.path())?;
            if metadata.is_file() && !name.starts_with(['.', '_']) {
                files.push((name, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn open(&self, file: &str) -> io::Result<Arc<dyn ReadAt>> {
        let path = if file.is_empty() { self.0.clone() } else { self.0.join(file) };
        Ok(Arc::new(LocalFile::open(&path)?))
    }
}

/// A file of this machine, mapped into memory.
///
/// A map of a file that is made shorter faults when it is read. Before and after each row group the file is asked
/// whether it still is what was opened; what happens in between ends the process, as a disk that fails does.
#[derive(Debug)]
struct LocalFile {
    path: PathBuf,
    map: Bytes,
    modified: Option<SystemTime>,
}

impl LocalFile {
    #[expect(unsafe_code, reason = "mapping a file is unsafe: another process may change it")]
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let map = if metadata.len() == 0 {
            Bytes::new()
        } else {
            // SAFETY: the map is read-only. What is read of it is hashed and checked, and the file's length and time of
            // change before and after; no reference to its bytes is handed out as text or as a type with invalid values.
            Bytes::from_owner(unsafe { Mmap::map(&file) }?)
        };
        Ok(Self { path: path.to_owned(), map, modified: metadata.modified().ok() })
    }
}

impl ReadAt for LocalFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn size(&self) -> u64 {
        self.map.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.check()?;
        let place = |at: u64| usize::try_from(at).ok().filter(|at| *at <= self.map.len());
        match (place(range.start), place(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(self.map.slice(start..end)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn check(&self) -> io::Result<()> {
        let metadata = fs::metadata(&self.path)?;
        let (expected, found) = (self.size(), metadata.len());
        if found != expected {
            return Err(io::Error::other(format!("it had {expected} bytes, and now has {found}")));
        }
        if metadata.modified().ok() != self.modified {
            return Err(io::Error::other("it was changed while it was read"));
        }
        Ok(())
    }
}
