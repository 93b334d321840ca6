//! One row group, as it is read: on runs of levels where the column allows it, by arrow-rs where not.

use std::path::PathBuf;
use std::sync::Arc;

use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::decode::{self, COLUMNS, Place};
use super::fast::{self, NotOurs};
use super::file::ShardFile;
use super::verified::Verified;
use super::{Header, RowGroup, Sample, ShardError};
use crate::TokenLists;
use crate::parquet_file::{self, ParquetFault};

/// How many tokens arrow decodes at once: larger batches are slower.
const BATCH_TOKENS: u64 = 1 << 18;

/// One row group, as it is read.
pub(super) struct Reading<'a> {
    pub(super) path: PathBuf,
    pub(super) row_group: usize,
    pub(super) column: &'a str,
    pub(super) vocab_size: u32,
    /// The row of the file that it begins with.
    pub(super) first_row: u64,
    /// Rows that arrow decodes at once.
    pub(super) batch_rows: usize,
}

impl<'a> Reading<'a> {
    /// A row group that the manifest knows.
    pub(super) fn new(
        file: &'a ShardFile,
        row_group: usize,
        header: &Header,
        column: Option<&'a str>,
    ) -> Self {
        let groups = &file.entry.row_groups;
        let group = &groups[row_group];
        let rows = (BATCH_TOKENS * group.rows / group.tokens.max(1)).clamp(1, 1 << 16);
        Self {
            path: PathBuf::from(file.name()),
            row_group,
            column: column.unwrap_or("tokens"),
            vocab_size: header.vocab_size,
            first_row: groups.iter().take(row_group).map(|group| group.rows).sum(),
            batch_rows: usize::try_from(rows).unwrap_or(1 << 16),
        }
    }

    /// Appends the lists, on runs of levels where the column allows it, and gives the largest id.
    pub(super) fn lists(
        &self,
        verified: &Verified,
        metadata: &ArrowReaderMetadata,
        lists: &mut TokenLists,
    ) -> Result<u32, ShardError> {
        let root = parquet_file::root(&self.path, self.column, metadata)?;
        let schema = metadata.metadata().file_metadata().schema_descr();
        let mut leaves =
            (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == root);
        let before = (lists.tokens.len(), lists.len());
        if let (Some(leaf), None) = (leaves.next(), leaves.next()) {
            let group = metadata.metadata().row_group(self.row_group);
            let file = Arc::new(verified.clone());
            let read = parquet_file::guarded(|| Ok(fast::read(&file, group, leaf, lists)))
                .map_err(|source| self.bad(source))?;
            match read {
                Ok(max_id) if max_id < self.vocab_size => return Ok(max_id),
                Ok(_) => return Err(self.out_of_range(lists, before)),
                Err(NotOurs::Layout) => {}
                Err(NotOurs::Damaged(error)) => return Err(self.bad(error.into())),
            }
        }
        self.lists_by_arrow(verified.clone(), metadata, root, lists)
    }

    fn lists_by_arrow(
        &self,
        verified: Verified,
        metadata: &ArrowReaderMetadata,
        root: usize,
        lists: &mut TokenLists,
    ) -> Result<u32, ShardError> {
        let batches = self.batches(verified, metadata, &[root])?;
        let (mut first_row, mut max_id) = (self.first_row, 0);
        for batch in &batches {
            let place = self.place(first_row);
            max_id = max_id.max(decode::lists(&place, batch.column(0), lists)?);
            first_row += batch.num_rows() as u64;
        }
        Ok(max_id)
    }

    /// The samples, of a shard of ours.
    pub(super) fn samples(
        &self,
        verified: Verified,
        metadata: &ArrowReaderMetadata,
    ) -> Result<Vec<Sample>, ShardError> {
        let roots: Result<Vec<_>, _> =
            COLUMNS.iter().map(|name| parquet_file::root(&self.path, name, metadata)).collect();
        let mut first_row = self.first_row;
        let mut samples = Vec::new();
        for batch in &self.batches(verified, metadata, &roots?)? {
            samples.append(&mut decode::samples(&self.place(first_row), batch)?);
            first_row += batch.num_rows() as u64;
        }
        Ok(samples)
    }

    /// The lengths of the samples, of a shard of ours.
    pub(super) fn lengths(
        &self,
        verified: Verified,
        metadata: &ArrowReaderMetadata,
    ) -> Result<Vec<u32>, ShardError> {
        let root = parquet_file::root(&self.path, "num_tokens", metadata)?;
        let mut lengths = Vec::new();
        for batch in &self.batches(verified, metadata, &[root])? {
            lengths.extend(decode::lengths(&self.place(self.first_row), batch.column(0))?);
        }
        Ok(lengths)
    }

    fn batches(
        &self,
        verified: Verified,
        metadata: &ArrowReaderMetadata,
        roots: &[usize],
    ) -> Result<Vec<arrow_array::RecordBatch>, ShardError> {
        parquet_file::row_group(verified, metadata, self.row_group, roots, self.batch_rows)
            .map_err(|source| self.bad(source))
    }

    fn place(&self, first_row: u64) -> Place<'_> {
        let (path, column, vocab_size) = (self.path.as_path(), self.column, self.vocab_size);
        Place { path, row_group: self.row_group, column, vocab_size, first_row }
    }

    fn bad(&self, source: ParquetFault) -> ShardError {
        ShardError::BadRowGroup {
            path: self.path.clone(),
            row_group: self.row_group,
            column: self.column.to_owned(),
            source,
        }
    }

    /// The first token at or above `vocab_size`, which is there.
    fn out_of_range(&self, lists: &mut TokenLists, before: (usize, usize)) -> ShardError {
        let at = lists.tokens[before.0..].iter().position(|id| *id >= self.vocab_size);
        let at = before.0 + at.unwrap_or(0);
        let list = lists.bounds.partition_point(|bound| *bound as usize <= at) - 1;
        let error = ShardError::TokenOutOfRange {
            path: self.path.clone(),
            row_group: self.row_group,
            row: self.first_row + (list - before.1) as u64,
            position: at - lists.bounds[list] as usize,
            id: lists.tokens[at].to_string(),
            vocab_size: self.vocab_size,
        };
        lists.tokens.truncate(before.0);
        lists.bounds.truncate(before.1 + 1);
        error
    }

    /// What was read against what the manifest says.
    pub(super) fn check(
        &self,
        group: &RowGroup,
        rows: u64,
        tokens: u64,
        max_id: u32,
    ) -> Result<(), ShardError> {
        for (what, expected, found) in [
            ("rows", group.rows, rows),
            ("tokens", group.tokens, tokens),
            ("as its largest id", u64::from(group.max_id), u64::from(max_id)),
        ] {
            if expected != found {
                let (path, row_group) = (self.path.clone(), self.row_group);
                return Err(ShardError::Inconsistent { path, row_group, what, expected, found });
            }
        }
        Ok(())
    }
}
