//! Writes a shard: rows in, Parquet out.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::{ArrayRef, UInt32Array, UInt64Array};
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::error::SampleFault;
use super::layout::{COLUMNS, Column, Dir, notes, schema};
use super::log::{Added, RowNames};
use super::stored::{LISTS, List, RowRef};
use super::{Identity, LogitError, Profile};
use crate::parquet_file::ParquetFault;
use crate::shard::{RowGroup, Segments, ShardEntry, Sink, TokenColumn};
use crate::store::{AtomicFile, create_dir_all};

/// The most values that a list of a row group has: what readers count in 31 bits with.
const MAX_VALUES: usize = 1 << 28;
const PAGE_BYTES: usize = 1 << 20;

/// A shard in the making.
pub(super) struct ShardWriter {
    path: PathBuf,
    schema: SchemaRef,
    writer: SerializedFileWriter<Sink>,
    columns: ArrowRowGroupWriterFactory,
    lists: TokenColumn,
    segments: Segments,
    rows: Rows,
    row_groups: Vec<RowGroup>,
    group_tokens: u64,
    names: RowNames,
    added: Added,
}

/// The rows of the row group in the making.
#[derive(Default)]
struct Rows {
    ids: Vec<[u8; 16]>,
    sources: Vec<Arc<str>>,
    k: Vec<u32>,
    hashes: Vec<u64>,
    lists: [Vec<u32>; LISTS],
    lengths: [Vec<u32>; LISTS],
}

impl ShardWriter {
    /// A shard of the cache in `dir`, with row groups of about so many tokens.
    pub(super) fn new(
        dir: &Dir,
        identity: &Identity,
        profile: &Profile,
        level: u8,
        group_tokens: u64,
    ) -> Result<Self, LogitError> {
        // Hidden and unique: the atomic file's own name.
        let path = dir.tmp().join("shard.parquet");
        let file = AtomicFile::create(&path).map_err(LogitError::store(&path))?;
        let (sink, segments) = Sink::new(file);
        let schema = Arc::new(schema(identity.values));
        let zstd = ZstdLevel::try_new(i32::from(level)).unwrap_or_default();
        let properties = properties(Compression::ZSTD(zstd), notes(identity, profile));
        let (writer, columns) = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties))
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(LogitError::write(&path))?;
        let lists = TokenColumn::new(level, Compression::ZSTD(zstd), PAGE_BYTES)
            .map_err(LogitError::write(&path))?;
        let (rows, row_groups) = (Rows::default(), Vec::new());
        let (names, added) = (RowNames::default(), Added::new(profile));
        Ok(Self {
            path,
            schema,
            writer,
            columns,
            lists,
            segments,
            rows,
            row_groups,
            group_tokens,
            names,
            added,
        })
    }

    /// How many tokens it has.
    pub(super) fn num_tokens(&self) -> u64 {
        self.added.tokens
    }

    pub(super) fn push(&mut self, row: RowRef<'_>) -> Result<(), LogitError> {
        let most = row.lists.map(<[u32]>::len).into_iter().max().unwrap_or(0);
        if most > MAX_VALUES {
            let source = SampleFault::TooLong { limit: MAX_VALUES, found: most };
            return Err(LogitError::Sample { id: row.id, position: None, source });
        }
        if self.rows.lists.iter().any(|list| list.len() + most > MAX_VALUES) {
            self.end_row_group()?;
        }
        let tokens = row.list(List::Tokens).len() as u64;
        self.names.push(row.id, row.list(List::Tokens).len());
        self.added.count(row);
        self.rows.push(row);
        let in_group = self.rows.lists[List::Tokens as usize].len() as u64;
        debug_assert!(in_group >= tokens, "the row is in it");
        // Entries as well: a row of a whole vocabulary is larger than a thousand of 32.
        let entries = self.rows.lists[List::Ids as usize].len() as u64;
        if in_group >= self.group_tokens || entries >= self.group_tokens.saturating_mul(128) {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Ends the shard and makes it durable, under the name of its content. Nobody knows of it until it is committed.
    pub(super) fn finish(mut self, dir: &Dir) -> Result<Added, LogitError> {
        if !self.rows.ids.is_empty() {
            self.end_row_group()?;
        }
        let Self { path, writer, segments, row_groups, names, mut added, .. } = self;
        let sink = writer.into_inner().map_err(LogitError::write(&path))?;
        // The names of directories are two digits of a digest that is known when the file is whole.
        let mut made = Ok(());
        let sealed = sink.into_file().commit_as(|written| {
            let name = dir.0.join(Dir::shard_name(written.digest));
            made = name.parent().map_or(Ok(()), create_dir_all);
            name
        });
        made.map_err(LogitError::store(&path))?;
        let (_, written) = sealed.map_err(LogitError::store(&path))?;
        let (_, _, footer) = segments.take();
        let (file, bytes, digest) =
            (Dir::shard_name(written.digest), written.bytes, written.digest);
        added.shard = ShardEntry { file, bytes, digest, row_groups, footer };
        added.names = names.checksum();
        Ok(added)
    }

    fn end_row_group(&mut self) -> Result<(), LogitError> {
        self.write_row_group().map_err(LogitError::write(&self.path))?;
        let (offset, bytes, hash) = self.segments.take();
        let tokens = &self.rows.lists[List::Tokens as usize];
        let max_id = tokens.iter().copied().max().unwrap_or(0);
        let (rows, tokens) = (self.rows.ids.len() as u64, tokens.len() as u64);
        self.row_groups.push(RowGroup { rows, tokens, max_id, offset, bytes, hash });
        self.rows.clear();
        Ok(())
    }

    fn write_row_group(&mut self) -> Result<(), ParquetFault> {
        let mut writers = self.columns.create_column_writers(self.row_groups.len())?.into_iter();
        let descriptors = self.writer.schema_descr().columns().to_vec();
        let mut group = self.writer.next_row_group()?;
        for (index, (_, column)) in COLUMNS.into_iter().enumerate() {
            let writer = writers.next();
            if let Column::List(list) = column {
                let (lengths, values) =
                    (&self.rows.lengths[list as usize], &self.rows.lists[list as usize]);
                let (bytes, close) = self.lists.encode(&descriptors[index], lengths, values)?;
                group.append_column(&bytes, close)?;
            } else if let Some(mut writer) = writer {
                let array = self.rows.column(column)?;
                for leaf in compute_leaves(self.schema.field(index), &array)? {
                    writer.write(&leaf)?;
                }
                writer.close()?.append_to_row_group(&mut group)?;
            }
        }
        group.close()?;
        // It brings the row group's bytes to the sink.
        Ok(self.writer.flush()?)
    }
}

impl Rows {
    fn push(&mut self, row: RowRef<'_>) {
        self.ids.push(row.id.0);
        self.sources.push(Arc::clone(row.source));
        self.k.push(row.k);
        self.hashes.push(row.hash());
        for (list, values) in row.lists.into_iter().enumerate() {
            self.lists[list].extend_from_slice(values);
            self.lengths[list].push(u32::try_from(values.len()).unwrap_or(u32::MAX));
        }
    }

    fn column(&self, column: Column) -> Result<ArrayRef, ParquetFault> {
        Ok(match column {
            Column::Id => {
                let mut ids = FixedSizeBinaryBuilder::with_capacity(self.ids.len(), 16);
                for id in &self.ids {
                    ids.append_value(id)?;
                }
                Arc::new(ids.finish())
            }
            Column::Source => {
                let mut sources = StringBuilder::new();
                self.sources.iter().for_each(|source| sources.append_value(source));
                Arc::new(sources.finish())
            }
            Column::NumTokens | Column::List(_) => {
                Arc::new(UInt32Array::from(self.lengths[List::Tokens as usize].clone()))
            }
            Column::K => Arc::new(UInt32Array::from(self.k.clone())),
            Column::Crc => Arc::new(UInt64Array::from(self.hashes.clone())),
        })
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.sources.clear();
        self.k.clear();
        self.hashes.clear();
        self.lists.iter_mut().for_each(Vec::clear);
        self.lengths.iter_mut().for_each(Vec::clear);
    }
}

fn properties(compression: Compression, notes: Vec<(String, String)>) -> WriterProperties {
    let notes = notes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    WriterProperties::builder()
        .set_created_by("stillflow".to_owned())
        .set_key_value_metadata(Some(notes))
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_column_dictionary_enabled(ColumnPath::from("source"), true)
        .set_column_dictionary_enabled(ColumnPath::from("k_max"), true)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(None)
        .build()
}
