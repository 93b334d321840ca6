//! One shard, opened: its bytes, its manifest entry, and its footer, which is read once.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::folder::ReadAt;
use super::verified::Verified;
use super::{Checksum, ShardEntry, ShardError};
use crate::parquet_file;
use crate::storage::Counts;

/// A shard, opened.
#[derive(Debug)]
pub(crate) struct ShardFile {
    pub(crate) entry: ShardEntry,
    file: Arc<dyn ReadAt>,
    footer: OnceLock<Footer>,
}

#[derive(Debug, Clone)]
struct Footer {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
}

impl ShardFile {
    /// What reading the store that it lies in has cost so far.
    pub(super) fn fetched(&self) -> Counts {
        self.file.fetched()
    }

    /// Checks that the file has the length that the manifest says.
    pub(crate) fn new(file: Arc<dyn ReadAt>, entry: ShardEntry) -> Result<Self, ShardError> {
        let (expected, found) = (entry.bytes, file.size());
        if expected != found {
            return Err(ShardError::Size { path: file.name().into(), expected, found });
        }
        Ok(Self { entry, file, footer: OnceLock::new() })
    }

    pub(crate) fn name(&self) -> String {
        self.file.name()
    }

    /// A row group will be read soon.
    pub(crate) fn will_need(&self, row_group: usize) {
        if let Some(group) = self.entry.row_groups.get(row_group) {
            self.file.will_need(group.offset..group.offset.saturating_add(group.bytes));
        }
    }

    /// Whether the file still is what was opened.
    pub(crate) fn check(&self) -> Result<(), ShardError> {
        self.file.check().map_err(|source| self.changed(source))
    }

    /// The verified bytes of a row group and of the footer, and what the footer says.
    pub(crate) fn open(
        &self,
        row_group: usize,
    ) -> Result<(Verified, ArrowReaderMetadata), ShardError> {
        let footer = self.footer()?;
        let group = &self.entry.row_groups[row_group];
        let end = group.offset.saturating_add(group.bytes);
        let part = || format!("row group {row_group}");
        let bytes = self.verified(group.offset, end, group.hash, part)?;
        let segments =
            vec![(group.offset, bytes), (self.entry.footer_offset(), footer.bytes.clone())];
        Ok((Verified { bytes: self.entry.bytes, segments }, footer.metadata))
    }

    fn footer(&self) -> Result<Footer, ShardError> {
        if let Some(footer) = self.footer.get() {
            return Ok(footer.clone());
        }
        let start = self.entry.footer_offset();
        let bytes =
            self.verified(start, self.entry.bytes, self.entry.footer, || "the footer".to_owned())?;
        let segments = vec![(start, bytes.clone())];
        let metadata = parquet_file::metadata(&Verified { bytes: self.entry.bytes, segments })
            .map_err(|source| ShardError::NotParquet { path: self.name().into(), source })?;
        let (expected, found) = (self.entry.row_groups.len(), metadata.metadata().num_row_groups());
        if expected != found {
            return Err(ShardError::Inconsistent {
                path: self.name().into(),
                row_group: 0,
                what: "row groups of the file",
                expected: expected as u64,
                found: found as u64,
            });
        }
        Ok(self.footer.get_or_init(|| Footer { bytes, metadata }).clone())
    }

    /// Bytes that match their checksum; read once more, from where they come from, if they do not.
    fn verified(
        &self,
        start: u64,
        end: u64,
        expected: Checksum,
        part: impl Fn() -> String,
    ) -> Result<Bytes, ShardError> {
        if start > end || end > self.entry.bytes {
            let (path, expected, found) = (self.name().into(), end, self.entry.bytes);
            return Err(ShardError::Size { path, expected, found });
        }
        let bytes = self.file.read(start..end).map_err(|source| self.changed(source))?;
        if Checksum::of(&bytes) == expected {
            return Ok(bytes);
        }
        let again = self.file.read_again(start..end).map_err(|source| self.changed(source))?;
        let found = Checksum::of(&again);
        if found == expected {
            return Ok(again);
        }
        Err(ShardError::Hash {
            path: self.name().into(),
            part: part(),
            offset: start,
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }

    fn changed(&self, source: io::Error) -> ShardError {
        ShardError::Io { path: self.name().into(), operation: "read", source }
    }
}
