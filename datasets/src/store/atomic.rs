//! Files that appear whole: temporary file, write, fsync, rename, fsync of the directory.
//!
//! The temporary file lies in the same directory and is called `.<name>.<pid>-<n>.tmp`: hidden, so that nothing
//! takes it for data, and never shared by two writers. It is removed if anything fails; after a kill it stays
//! behind and does no harm.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Digest, Hasher, StoreError, trial};

/// What was written: how many bytes, and their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The file's length.
    pub bytes: u64,
    /// The digest of its bytes, taken while they were written.
    pub digest: Digest,
}

/// Writes a file that appears whole or not at all: `fill` writes its bytes.
///
/// If anything fails, what was at `path` before is still there.
///
/// # Errors
/// [`StoreError::Io`], also with the error that `fill` returns.
pub fn write_atomic<F>(path: &Path, fill: F) -> Result<Written, StoreError>
where
    F: FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
{
    let mut file = AtomicFile::create(path)?;
    fill(&mut file).map_err(StoreError::io(path, "write"))?;
    file.commit()
}

/// A file in the making, for writers that want to own it. Dropped without [`commit`](Self::commit), it never was.
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    // `None` once committed.
    file: Option<BufWriter<Hashing>>,
}

impl AtomicFile {
    /// Starts a file that will be called `path`.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the temporary file cannot be made.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
        let name = name.map_err(StoreError::io(path, "create"))?.to_string_lossy().into_owned();
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{name}.{}-{n}.tmp", std::process::id()));
        let file = trial::file_operation()
            .and_then(|()| File::create(&temporary))
            .map_err(StoreError::io(path, "create"))?;
        let hashing = Hashing { file, hasher: Hasher::new(), bytes: 0 };
        let file = Some(BufWriter::with_capacity(1 << 18, hashing));
        Ok(Self { path: path.to_owned(), temporary, file })
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// [`StoreError::Io`]; unless the rename itself was done, what was at the path before is still there.
    #[expect(clippy::missing_panics_doc, reason = "no one but commit takes the file")]
    pub fn commit(mut self) -> Result<Written, StoreError> {
        let path = self.path.clone();
        let writer = self.file.take().expect("only commit takes the file, and consumes self");
        match self.seal(writer, &path) {
            Ok(written) => Ok(written),
            Err(error) => {
                discard(&self.temporary);
                Err(error)
            }
        }
    }

    /// Makes the file durable and gives it a name that what was written decides, in a directory of the same file
    /// system that is there already. Returns the name.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    #[expect(clippy::missing_panics_doc, reason = "no one but commit takes the file")]
    pub fn commit_as(
        mut self,
        name: impl FnOnce(&Written) -> PathBuf,
    ) -> Result<(PathBuf, Written), StoreError> {
        let writer = self.file.take().expect("only commit takes the file, and consumes self");
        let sealed = synced(writer, &self.path).and_then(|written| {
            let path = name(&written);
            self.rename(&path).map(|()| (path, written))
        });
        if sealed.is_err() {
            discard(&self.temporary);
        }
        sealed
    }

    /// Makes the file durable under its name if nothing has that name yet; of any number that try at once, in any
    /// process, one does. `None`: there is one, and it is as it was.
    ///
    /// The file system must know hard links: linking, unlike renaming, never replaces.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    #[expect(clippy::missing_panics_doc, reason = "no one but commit takes the file")]
    pub fn commit_new(mut self) -> Result<Option<Written>, StoreError> {
        let writer = self.file.take().expect("only commit takes the file, and consumes self");
        let sealed = synced(writer, &self.path).and_then(|written| {
            let linked =
                trial::file_operation().and_then(|()| fs::hard_link(&self.temporary, &self.path));
            match linked {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                linked => linked.map_err(StoreError::io(&self.path, "link"))?,
            }
            trial::reached("renamed");
            sync_parent(&self.path).map(|()| Some(written))
        });
        discard(&self.temporary);
        sealed
    }

    fn seal(&self, writer: BufWriter<Hashing>, path: &Path) -> Result<Written, StoreError> {
        let written = synced(writer, path)?;
        self.rename(path)?;
        Ok(written)
    }

    fn rename(&self, path: &Path) -> Result<(), StoreError> {
        trial::file_operation()
            .and_then(|()| fs::rename(&self.temporary, path))
            .map_err(StoreError::io(path, "rename"))?;
        trial::reached("renamed");
        sync_parent(path)
    }
}

/// Writes what is buffered, and syncs the file.
fn synced(writer: BufWriter<Hashing>, path: &Path) -> Result<Written, StoreError> {
    let Hashing { file, hasher, bytes } = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .map_err(StoreError::io(path, "write"))?;
    trial::file_operation()
        .and_then(|()| file.sync_all())
        .map_err(StoreError::io(path, "fsync"))?;
    trial::reached("written");
    Ok(Written { bytes, digest: hasher.digest() })
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().expect("only commit takes the file, and consumes self").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().expect("only commit takes the file, and consumes self").flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(writer) = self.file.take() {
            // Without `into_parts` the buffer would still be written to a file that is to go.
            drop(writer.into_parts());
            discard(&self.temporary);
        }
    }
}

/// Removes a temporary file. It may be gone, or stay: either way it is no one's data.
fn discard(temporary: &Path) {
    drop(fs::remove_file(temporary));
}

/// Counts and hashes what goes to the file.
struct Hashing {
    file: File,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        trial::file_operation()?;
        // The first write takes half of what it is given, so that `half-written` is what its name says.
        let first = self.bytes == 0 && bytes.len() > 1;
        let n = self.file.write(if first { &bytes[..bytes.len() / 2] } else { bytes })?;
        self.hasher.update(&bytes[..n]);
        self.bytes += n as u64;
        if first {
            trial::reached("half-written");
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes a directory and its parents, durably.
///
/// # Errors
/// [`StoreError::Io`] if the operating system refuses.
pub fn create_dir_all(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir_all(parent)?;
    }
    let made = trial::file_operation().and_then(|()| fs::create_dir(path));
    match made {
        // Another worker may have made it meanwhile.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(StoreError::io(path, "create")).and_then(|()| sync_parent(path)),
    }
}

/// Removes a file, durably. That there is none is no error.
///
/// # Errors
/// [`StoreError::Io`] if the operating system refuses.
pub fn remove_file(path: &Path) -> Result<(), StoreError> {
    remove(path, |path| fs::remove_file(path))
}

/// Removes a directory with everything in it, durably. That there is none is no error.
///
/// # Errors
/// [`StoreError::Io`] if the operating system refuses; some of it may be gone by then.
pub fn remove_dir_all(path: &Path) -> Result<(), StoreError> {
    remove(path, |path| fs::remove_dir_all(path))
}

/// Gives a finished directory its name, durably. Its files must be durable already.
///
/// # Errors
/// [`StoreError::Io`] if the operating system refuses; `from` is then still there.
pub fn rename_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    trial::file_operation()
        .and_then(|()| fs::rename(from, to))
        .map_err(StoreError::io(to, "rename"))?;
    trial::reached("renamed");
    sync_parent(to)
}

fn remove(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), StoreError> {
    match trial::file_operation().and_then(|()| remove(path)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(StoreError::io(path, "remove")).and_then(|()| sync_parent(path)),
    }
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    trial::file_operation()
        .and_then(|()| File::open(parent)?.sync_all())
        .map_err(StoreError::io(parent, "fsync"))
}

#[cfg(test)]
mod tests {
    use super::super::{digest_bytes, digest_file};
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_what_the_digest_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for bytes in [vec![], vec![7], vec![1, 2, 3], vec![9; 1_000_001]] {
            let written = write_atomic(&path, |w| w.write_all(&bytes)).unwrap();
            assert_eq!(
                written,
                Written { bytes: bytes.len() as u64, digest: digest_bytes(&bytes) }
            );
            assert_eq!(digest_file(&path).unwrap(), written.digest);
        }
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn a_writer_that_fails_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "before").unwrap();
        let result = write_atomic(&path, |w| {
            w.write_all(b"after")?;
            Err(io::Error::other("no more"))
        });
        assert!(matches!(result, Err(StoreError::Io { operation: "write", .. })));
        let mut dropped = AtomicFile::create(&path).unwrap();
        dropped.write_all(b"after").unwrap();
        drop(dropped);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn whichever_operation_fails_the_file_is_the_old_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let new = vec![b'n'; 1 << 19];
        let mut k = 1;
        loop {
            fs::write(&path, "old").unwrap();
            let failing = trial::Failing::on_this_thread(k);
            let result = write_atomic(&path, |w| w.write_all(&new));
            let all_done = failing.operations() < k;
            drop(failing);
            let found = fs::read(&path).unwrap();
            assert!(found == b"old" || found == new, "operation {k} left a torn file");
            assert_eq!(names(dir.path()), ["f"], "operation {k} left a temporary file");
            if all_done {
                result.unwrap();
                assert_eq!(found, new);
                break;
            }
            assert!(result.is_err(), "operation {k} failed in silence");
            k += 1;
        }
        assert!(k > 5, "create, write, fsync, rename and fsync of the directory are counted");
    }

    #[test]
    fn of_many_that_make_one_new_file_at_once_one_does_and_the_others_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let make = |n: u8| {
            let mut file = AtomicFile::create(&path).unwrap();
            file.write_all(&[n; 1000]).unwrap();
            file.commit_new().unwrap().is_some()
        };
        let made: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || make(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        let winner = u8::try_from(made.iter().position(|made| *made).unwrap()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [winner; 1000]);
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn a_file_may_be_named_by_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(&dir.path().join("in-flight")).unwrap();
        file.write_all(b"content").unwrap();
        let (path, written) =
            file.commit_as(|written| dir.path().join(written.digest.to_string())).unwrap();
        assert_eq!(
            path.file_name().unwrap().to_string_lossy(),
            digest_bytes(b"content").to_string()
        );
        assert_eq!((written.bytes, names(dir.path()).len()), (7, 1));
    }

    #[test]
    fn a_path_without_a_directory_is_in_the_current_one_and_an_empty_path_is_an_error() {
        assert!(matches!(AtomicFile::create(Path::new("")), Err(StoreError::Io { .. })));
        assert!(sync_parent(Path::new("name")).is_ok());
    }
}
