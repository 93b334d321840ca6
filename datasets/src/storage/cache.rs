//! Ranges of files of stores, kept on disk.
//!
//! One file an entry, `<folder>/<first two hex digits>/<key>`, where the key is the BLAKE3 of the store, the URL, the
//! version and the range: a changed file has other keys, and its old entries grow old. A file is
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `SFCACHE1` |
//! | 8..16 | the length of the content, little-endian |
//! | 16..24 | XXH3-64 of the content |
//! | 24.. | the content |
//!
//! It is written under a temporary name and renamed, so that any number of processes may share a folder. Nothing is
//! synced: an entry that a crash tore has another hash, and is fetched again. A hit sets the time of modification;
//! the oldest go when there is no more room, down to seven eighths of the bound. A process counts what it adds itself and looks at the
//! folder again when it has added a sixteenth of the bound, so N processes are above the bound by N/16 of it at most.
//!
//! A disk that takes nothing more is no error: the cache is then off, and the statistics tell why.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::origin::Object;
use super::stats::Stats;
use crate::store::trial;

const MAGIC: &[u8; 8] = b"SFCACHE1";
const HEADER: usize = 24;
/// A temporary file of this age was left behind by a process that died.
const STALE: Duration = Duration::from_secs(3600);

/// The name of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The key of a range of a file; `None` where a change of the file would not show.
    pub(crate) fn new(store: &str, object: &Object, range: &Range<u64>) -> Option<Self> {
        let version = object.version.is_known().then(|| object.version.to_string())?;
        let text = format!("{store}\n{}\n{version}\n{}-{}", object.url, range.start, range.end);
        Some(Self(blake3::hash(text.as_bytes()).to_hex().to_string()))
    }
}

/// A folder of entries with a bound.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    bound: u64,
    stats: Arc<Stats>,
    room: Mutex<Room>,
    off: AtomicBool,
}

/// What lies in the folder, as far as this process knows.
#[derive(Debug, Default)]
struct Room {
    used: u64,
    /// Added since the folder was last looked at; `None` if it never was.
    added: Option<u64>,
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf, bound: u64, stats: Arc<Stats>) -> Self {
        Self { folder, bound, stats, room: Mutex::default(), off: AtomicBool::new(false) }
    }

    /// Where the cache lies unless the options say otherwise.
    pub(crate) fn default_folder() -> Option<PathBuf> {
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        Some(base.or_else(|| set("HOME").map(|home| home.join(".cache")))?.join("stillflow/data"))
    }

    /// The content of an entry, if it is there and whole.
    pub(crate) fn get(&self, key: &Key, bytes: u64) -> Option<Bytes> {
        let path = self.path(key);
        let found = fs::read(&path).ok();
        let Some(entry) = found else {
            Stats::add(&self.stats.cache_misses, 1);
            return None;
        };
        let Some(content) = content_of(entry, bytes) else {
            Stats::add(&self.stats.cache_damaged, 1);
            Stats::add(&self.stats.cache_misses, 1);
            self.remove(key);
            return None;
        };
        Stats::add(&self.stats.cache_hits, 1);
        // Only the order of eviction suffers if this fails.
        let _ = File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        Some(content)
    }

    /// Keeps a content, if there is room for it at all.
    pub(crate) fn put(&self, key: &Key, content: &[u8]) {
        let bytes = (content.len() + HEADER) as u64;
        if bytes > self.bound || self.off.load(Relaxed) {
            return;
        }
        self.make_room(bytes);
        if let Err(error) = self.write(&self.path(key), content) {
            self.switch_off(&error);
        }
    }

    pub(crate) fn remove(&self, key: &Key) {
        let path = self.path(key);
        let bytes = path.metadata().map_or(0, |found| found.len());
        // Another process may have removed it.
        if fs::remove_file(&path).is_ok() {
            let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
            room.used = room.used.saturating_sub(bytes);
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.0[..2]).join(&key.0)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let temporary = format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let temporary = folder.join(temporary);
        let written = File::create_new(&temporary).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(&(content.len() as u64).to_le_bytes())?;
            file.write_all(&xxh3_64(content).to_le_bytes())?;
            trial::file_operation()?;
            file.write_all(content)?;
            fs::rename(&temporary, path)
        });
        if written.is_err() {
            // It may not be there at all.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn switch_off(&self, error: &io::Error) {
        if !self.off.swap(true, Relaxed) {
            let note = format!("the cache in `{}` is off: {error}", self.folder.display());
            *self.stats.cache_note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
        }
    }

    /// Evicts until `bytes` more fit, and counts them.
    fn make_room(&self, bytes: u64) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let look = room.added.is_none_or(|added| added > self.bound / 16)
            || room.used + bytes > self.bound;
        if look {
            let mut entries = self.entries();
            room.used = entries.iter().map(|entry| entry.bytes).sum();
            if room.used + bytes > self.bound {
                entries.sort_by_key(|entry| entry.used);
                for entry in entries {
                    if room.used + bytes <= self.bound / 8 * 7 {
                        break;
                    }
                    if fs::remove_file(&entry.path).is_ok() {
                        Stats::add(&self.stats.cache_evictions, 1);
                    }
                    room.used -= entry.bytes;
                }
            }
            room.added = Some(0);
        }
        room.used += bytes;
        room.added = room.added.map(|added| added + bytes);
    }

    /// All entries, and what dead processes left is removed.
    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for file in folders.flat_map(|folder| fs::read_dir(folder.path())).flatten().flatten() {
            // It may be gone, by another process.
            let Ok(found) = file.metadata() else { continue };
            let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let temporary = file.file_name().as_encoded_bytes().starts_with(b".");
            if temporary
                && used.elapsed().is_ok_and(|age| age > STALE)
                && fs::remove_file(file.path()).is_ok()
            {
                continue;
            }
            if found.is_file() && !temporary {
                entries.push(Entry { path: file.path(), bytes: found.len(), used });
            }
        }
        entries
    }
}

fn content_of(entry: Vec<u8>, bytes: u64) -> Option<Bytes> {
    let header: &[u8; HEADER] = entry.first_chunk()?;
    let length = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let hash = u64::from_le_bytes(header[16..24].try_into().ok()?);
    let content = &entry[HEADER..];
    let whole = header.starts_with(MAGIC) && length == bytes && content.len() as u64 == bytes;
    (whole && xxh3_64(content) == hash).then(|| Bytes::from(entry).slice(HEADER..))
}

#[cfg(test)]
#[path = "tests/cache.rs"]
mod tests;
