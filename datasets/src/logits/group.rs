//! A row group of a shard, decoded to integers.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::errors::ParquetError;

use super::LogitError;
use super::layout::{COLUMNS, Column, LIST_COLUMNS};
use super::stored::{LISTS, RowRef};
use crate::TokenLists;
use crate::parquet_file::{self, ParquetFault};
use crate::shard::{NotOurs, SampleId, ShardError, ShardFile, Verified, read_lists};

/// The rows of a row group.
pub(super) struct Group {
    path: PathBuf,
    row_group: usize,
    pub(super) names: Names,
    k: Vec<u32>,
    pub(super) hashes: Vec<u64>,
    lists: [TokenLists; LISTS],
}

/// What rows are called.
#[derive(Default)]
pub(super) struct Names {
    pub(super) ids: Vec<SampleId>,
    pub(super) sources: Vec<Arc<str>>,
    pub(super) num_tokens: Vec<u32>,
}

impl Group {
    /// Reads a row group. Its bytes are hashed before anything is decoded, and its rows' lists fit together.
    pub(super) fn read(
        file: &ShardFile,
        row_group: usize,
        temperatures: usize,
    ) -> Result<Self, LogitError> {
        let path = PathBuf::from(file.name());
        let (verified, metadata) = file.open(row_group)?;
        let mut group = Self {
            names: Names::default(),
            k: Vec::new(),
            hashes: Vec::new(),
            lists: Default::default(),
            path,
            row_group,
        };
        group.read_scalars(verified.clone(), &metadata)?;
        group.read_lists(&Arc::new(verified), &metadata)?;
        file.check()?;
        for row in 0..group.len() {
            let shape = group.row(row).check_shape(temperatures);
            shape.map_err(|source| group.damaged(row, source))?;
        }
        Ok(group)
    }

    fn read_scalars(
        &mut self,
        file: Verified,
        metadata: &ArrowReaderMetadata,
    ) -> Result<(), ShardError> {
        let mut roots = Vec::new();
        for (name, column) in COLUMNS {
            if !matches!(column, Column::List(_)) {
                roots.push(parquet_file::root(&self.path, name, metadata)?);
            }
        }
        let batches = parquet_file::row_group(file, metadata, self.row_group, &roots, 1 << 16)
            .map_err(|source| self.bad("sample_id", source))?;
        for batch in batches {
            if let Err(column) = self.names.append(&batch) {
                return Err(self.wrong(column));
            }
            let k =
                column(&batch, "k_max").and_then(|array| array.as_primitive_opt::<UInt32Type>());
            self.k.extend(k.ok_or_else(|| self.wrong("k_max"))?.values());
            let crc =
                column(&batch, "row_crc").and_then(|array| array.as_primitive_opt::<UInt64Type>());
            self.hashes.extend(crc.ok_or_else(|| self.wrong("row_crc"))?.values());
        }
        Ok(())
    }

    fn read_lists(
        &mut self,
        file: &Arc<Verified>,
        metadata: &ArrowReaderMetadata,
    ) -> Result<(), ShardError> {
        let group = metadata.metadata().row_group(self.row_group);
        let schema = metadata.metadata().file_metadata().schema_descr();
        for (list, name) in LIST_COLUMNS.into_iter().enumerate() {
            let root = parquet_file::root(&self.path, name, metadata)?;
            let mut leaves =
                (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == root);
            let (Some(leaf), None) = (leaves.next(), leaves.next()) else {
                return Err(self.wrong(name));
            };
            let lists = &mut self.lists[list];
            let read = parquet_file::guarded(|| Ok(read_lists(file, group, leaf, lists)));
            let error = match read {
                Ok(Ok(_)) => None,
                Ok(Err(NotOurs::Damaged(error))) => Some(error.into()),
                Ok(Err(NotOurs::Layout)) => return Err(self.wrong(name)),
                Err(fault) => Some(fault),
            };
            if let Some(source) = error {
                return Err(self.bad(name, source));
            }
            let (expected, found) = (self.names.ids.len(), self.lists[list].len());
            if expected != found {
                let text = format!("it has {found} rows, expected {expected}");
                return Err(self.bad(name, ParquetError::General(text).into()));
            }
        }
        Ok(())
    }

    fn bad(&self, column: &str, source: ParquetFault) -> ShardError {
        let (path, column) = (self.path.clone(), column.to_owned());
        ShardError::BadRowGroup { path, row_group: self.row_group, column, source }
    }

    /// A column of another type or encoding than a cache's.
    fn wrong(&self, column: &str) -> ShardError {
        let text = "it has another type or encoding than a cache's".to_owned();
        self.bad(column, ParquetError::General(text).into())
    }

    /// A row that makes no sense.
    pub(super) fn damaged(&self, row: usize, source: super::RowFault) -> LogitError {
        LogitError::Row { path: self.path.clone(), row_group: self.row_group, row, source }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.names.ids.len()
    }

    /// A row.
    pub(super) fn row(&self, row: usize) -> RowRef<'_> {
        RowRef {
            id: self.names.ids[row],
            source: &self.names.sources[row],
            k: self.k[row],
            lists: std::array::from_fn(|list| self.lists[list].get(row)),
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.lists.iter().map(|lists| 4 * (lists.tokens.len() + lists.bounds.len())).sum()
    }
}

impl Names {
    /// Adds the rows of a batch; the column that is not what it should be, if one is not.
    pub(super) fn append(&mut self, batch: &RecordBatch) -> Result<(), &'static str> {
        let ids = column(batch, "sample_id").and_then(|array| array.as_fixed_size_binary_opt());
        let ids = ids.ok_or("sample_id")?;
        for id in ids.iter() {
            let id = id.and_then(|id| id.try_into().ok()).ok_or("sample_id")?;
            self.ids.push(SampleId(id));
        }
        let num_tokens = column(batch, "n_tokens").and_then(|a| a.as_primitive_opt::<UInt32Type>());
        self.num_tokens.extend(num_tokens.ok_or("n_tokens")?.values());
        let sources = column(batch, "source").and_then(|array| array.as_string_opt::<i32>());
        for source in sources.ok_or("source")?.iter().map(Option::unwrap_or_default) {
            // Rows of a source lie together: most share the text of the row before.
            match self.sources.last() {
                Some(last) if **last == *source => self.sources.push(Arc::clone(last)),
                _ => self.sources.push(source.into()),
            }
        }
        Ok(())
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a dyn Array> {
    let array = batch.column_by_name(name)?;
    (array.null_count() == 0).then_some(&**array)
}
