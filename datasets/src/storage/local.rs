//! Files on this machine.

use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Found, StorageError, is_hidden};

/// A file, open, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    file: File,
    pub(crate) bytes: u64,
    stamp: [i64; 2],
}

fn stamp(found: &Metadata) -> [i64; 2] {
    [found.mtime(), found.mtime_nsec()]
}

impl LocalFile {
    pub(crate) fn open(path: PathBuf) -> Result<Self, StorageError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (found, file) = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                StorageError::Missing { location: path.display().to_string(), operation: "open" }
            }
            _ => StorageError::io(&path, "open")(error),
        })?;
        if !found.is_file() {
            return Err(StorageError::io(&path, "open")(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { bytes: found.len(), stamp: stamp(&found), file, path })
    }

    pub(crate) fn read(&self, range: Range<u64>, length: usize) -> Result<Bytes, StorageError> {
        let io = |operation| StorageError::io(&self.path, operation);
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        // After the read: what changed before it or meanwhile must show.
        let found = self.file.metadata().map_err(io("look at"))?;
        if found.len() != self.bytes || stamp(&found) != self.stamp {
            let of = |bytes, [seconds, nanos]: [i64; 2]| {
                format!("{bytes} bytes of time {seconds}.{nanos:09}")
            };
            return Err(StorageError::Changed {
                location: self.path.display().to_string(),
                expected: of(self.bytes, self.stamp),
                found: of(found.len(), stamp(&found)),
            });
        }
        read.map_err(io("read"))?;
        Ok(bytes.into())
    }
}

/// All files below a folder; the file itself, called `""`, if it is one. Links to files are followed, links to folders are not.
pub(crate) fn list(root: &Path) -> Result<Vec<Found>, StorageError> {
    let missing =
        || StorageError::Missing { location: root.display().to_string(), operation: "list" };
    let found = fs::metadata(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => StorageError::io(root, "list")(error),
    })?;
    if found.is_file() {
        return Ok(vec![Found {
            name: String::new(),
            bytes: found.len(),
            etag: None,
            modified: found.mtime(),
        }]);
    }
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let io = || StorageError::io(&folder, "list");
        for entry in fs::read_dir(&folder).map_err(io())? {
            let entry = entry.map_err(io())?;
            // A name that is no UTF-8 can stand in no manifest.
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if is_hidden(&name) {
                continue;
            }
            let name = format!("{prefix}{name}");
            if entry.file_type().map_err(io())?.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else if let Ok(found) = fs::metadata(entry.path())
                && found.is_file()
            {
                files.push(Found { name, bytes: found.len(), etag: None, modified: found.mtime() });
            }
        }
    }
    Ok(files)
}

/// The whole of a small file.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Bytes, StorageError> {
    let file = LocalFile::open(path.to_owned())?;
    match usize::try_from(file.bytes) {
        Ok(length) if file.bytes <= limit => file.read(0..file.bytes, length),
        _ => Err(StorageError::TooLarge {
            location: path.display().to_string(),
            limit,
            found: file.bytes,
        }),
    }
}
