//! The bytes of a shard that were read and found to match their hashes, and no others.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::{ShardEntry, ShardError};
use crate::store::{Digest, digest_bytes};

/// A file of which only verified segments can be read: what is decoded is what was hashed.
pub(super) struct Verified {
    bytes: u64,
    segments: Vec<(u64, Bytes)>,
}

impl Verified {
    /// Reads the footer of a shard and one row group, and checks both.
    pub(super) fn read(
        path: &Path,
        entry: &ShardEntry,
        row_group: usize,
    ) -> Result<Self, ShardError> {
        let mut file = File::open(path).map_err(ShardError::io(path, "open"))?;
        let found = file.metadata().map_err(ShardError::io(path, "read"))?.len();
        if found != entry.bytes {
            return Err(ShardError::Size { path: path.to_owned(), expected: entry.bytes, found });
        }
        let mut read = |from: u64, to: u64, expected: Digest, part: String| {
            let size = to.checked_sub(from).filter(|_| to <= found).map(usize::try_from);
            let Some(Ok(size)) = size else {
                let path = path.to_owned();
                return Err(ShardError::Size { path, expected: to, found });
            };
            let mut bytes = vec![0; size];
            file.seek(SeekFrom::Start(from))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(ShardError::io(path, "read"))?;
            let found = digest_bytes(&bytes);
            if found == expected {
                Ok((from, Bytes::from(bytes)))
            } else {
                Err(ShardError::Hash { path: path.to_owned(), part, expected, found })
            }
        };
        let group = &entry.row_groups[row_group];
        let end = group.offset.saturating_add(group.bytes);
        let footer = entry.footer_offset();
        let segments = vec![
            read(footer, entry.bytes, entry.footer, "the footer".to_owned())?,
            read(group.offset, end, group.hash, format!("row group {row_group}"))?,
        ];
        Ok(Self { bytes: entry.bytes, segments })
    }

    fn rest(&self, start: u64) -> Result<Bytes, ParquetError> {
        self.segments
            .iter()
            .find_map(|(from, bytes)| {
                let at = usize::try_from(start.checked_sub(*from)?).ok()?;
                (at <= bytes.len()).then(|| bytes.slice(at..))
            })
            .ok_or_else(|| ParquetError::General(format!("byte {start} was not verified")))
    }
}

impl Length for Verified {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Verified {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.rest(start).map(Cursor::new)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.rest(start)?;
        if length > rest.len() {
            let end = start.saturating_add(length as u64);
            return Err(ParquetError::EOF(format!("bytes {start}..{end} were not verified")));
        }
        Ok(rest.slice(..length))
    }
}
