//! The bytes of a shard that were read and found to match their checksums, and no others.

use std::io::Cursor;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// A file of which only verified segments can be read: what is decoded is what was hashed.
#[derive(Clone)]
pub(crate) struct Verified {
    /// The length of the whole file.
    pub(super) bytes: u64,
    /// Where each begins, and its bytes.
    pub(super) segments: Vec<(u64, Bytes)>,
}

impl Verified {
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
