//! Writes a shard.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, ListBuilder, StringBuilder, UInt16Builder, UInt32Builder,
};
use arrow_array::{ArrayRef, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::manifest::VERSION;
use super::segment::{Segments, Sink};
use super::token_column::TokenColumn;
use super::{
    Header, Layout, PageCompression, RowGroup, Sample, SampleRef, Samples, ShardEntry, ShardError,
    TokenEncoding,
};
use crate::parquet_file::ParquetFault;
use crate::store::AtomicFile;

/// The longest sample, and the largest row group: Arrow counts a list's values in 31 bits.
const MAX_TOKENS: usize = 1 << 28;
/// Which column the tokens are.
const TOKENS: usize = 2;

/// A shard in the making: it appears whole with [`finish`](Self::finish), or not at all.
pub struct ShardWriter {
    path: PathBuf,
    vocab_size: u32,
    layout: Layout,
    schema: SchemaRef,
    writer: SerializedFileWriter<Sink>,
    columns: ArrowRowGroupWriterFactory,
    /// Writes the tokens in the default layout; in others the columns' own writer does.
    tokens: Option<TokenColumn>,
    segments: Segments,
    rows: Rows,
    row_groups: Vec<RowGroup>,
}

impl ShardWriter {
    /// Starts a shard that will be called `path`.
    ///
    /// # Errors
    /// [`ShardError`] if the file cannot be made.
    pub fn new(path: &Path, header: &Header) -> Result<Self, ShardError> {
        Self::with_layout(path, header, Layout::default())
    }

    /// [`new`](Self::new), stored in another way.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_layout(path: &Path, header: &Header, layout: Layout) -> Result<Self, ShardError> {
        let file = AtomicFile::create(path).map_err(ShardError::store(path))?;
        let (sink, segments) = Sink::new(file);
        let schema = schema(header.vocab_size);
        let properties = properties(header, &layout);
        let (writer, columns) = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties))
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(ShardError::write(path))?;
        let tokens = match (layout.encoding, layout.compression) {
            (TokenEncoding::ByteStreamSplit, PageCompression::Zstd(level)) => {
                TokenColumn::new(level, layout.compression(), layout.page_bytes).map(Some)
            }
            _ => Ok(None),
        };
        let tokens = tokens.map_err(ShardError::write(path))?;
        Ok(Self {
            path: path.to_owned(),
            vocab_size: header.vocab_size,
            layout,
            schema,
            writer,
            columns,
            tokens,
            segments,
            rows: Rows::default(),
            row_groups: Vec::new(),
        })
    }

    /// Ends a row group with the sample that reaches this many tokens.
    #[must_use]
    pub fn with_row_group_tokens(mut self, tokens: u64) -> Self {
        self.layout.row_group_tokens = tokens;
        self
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// [`ShardError::TokenOutOfRange`] or [`ShardError::TooLong`] if it cannot be stored (the shard is then as before),
    /// [`ShardError`] if a full row group cannot be written.
    pub fn push(&mut self, sample: &Sample) -> Result<(), ShardError> {
        self.push_row(sample.into())
    }

    /// Adds samples, one after the other.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_all(&mut self, samples: &Samples) -> Result<(), ShardError> {
        samples.iter().try_for_each(|sample| self.push_row(sample))
    }

    fn push_row(&mut self, sample: SampleRef<'_>) -> Result<(), ShardError> {
        let length = match u32::try_from(sample.tokens.len()) {
            Ok(length) if length as usize <= MAX_TOKENS => length,
            _ => {
                let (id, tokens) = (sample.id, sample.tokens.len());
                return Err(ShardError::TooLong { id, tokens, limit: MAX_TOKENS });
            }
        };
        let max_id = sample.tokens.iter().copied().fold(0, u32::max);
        if max_id >= self.vocab_size
            && let Some(position) = sample.tokens.iter().position(|id| *id >= self.vocab_size)
        {
            let done = self.row_groups.iter().map(|group| group.rows).sum::<u64>();
            return Err(ShardError::TokenOutOfRange {
                path: self.path.clone(),
                row_group: self.row_groups.len(),
                row: done + self.rows.num_rows(),
                position,
                id: sample.tokens[position].to_string(),
                vocab_size: self.vocab_size,
            });
        }
        self.rows.push(sample, length, max_id);
        let enough = self.layout.row_group_tokens.clamp(1, MAX_TOKENS as u64);
        if self.rows.tokens.len() as u64 >= enough { self.end_row_group() } else { Ok(()) }
    }

    /// Ends the shard and makes it durable.
    ///
    /// # Errors
    /// [`ShardError`] if it cannot be written; then there is no shard.
    pub fn finish(mut self) -> Result<ShardEntry, ShardError> {
        if self.rows.num_rows() > 0 {
            self.end_row_group()?;
        }
        let sink = self.writer.into_inner().map_err(ShardError::write(&self.path))?;
        let written = sink.into_file().commit().map_err(ShardError::store(&self.path))?;
        let (_, _, footer) = self.segments.take();
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (bytes, digest, row_groups) = (written.bytes, written.digest, self.row_groups);
        Ok(ShardEntry { file, bytes, digest, row_groups, footer })
    }

    fn end_row_group(&mut self) -> Result<(), ShardError> {
        self.write_row_group().map_err(ShardError::write(&self.path))?;
        let (offset, bytes, hash) = self.segments.take();
        let (rows, tokens) = (self.rows.num_rows(), self.rows.tokens.len() as u64);
        let max_id = self.rows.max_id;
        self.row_groups.push(RowGroup { rows, tokens, max_id, offset, bytes, hash });
        self.rows.clear();
        Ok(())
    }

    fn write_row_group(&mut self) -> Result<(), ParquetFault> {
        let mut writers = self.columns.create_column_writers(self.row_groups.len())?.into_iter();
        let descriptor = self.writer.schema_descr().column(TOKENS);
        let mut group = self.writer.next_row_group()?;
        for (index, field) in self.schema.fields().iter().enumerate() {
            let writer = writers.next();
            if let (TOKENS, Some(tokens)) = (index, &mut self.tokens) {
                let lengths = &self.rows.lengths;
                let (bytes, close) = tokens.encode(&descriptor, lengths, &self.rows.tokens)?;
                group.append_column(&bytes, close)?;
            } else if let Some(mut writer) = writer {
                let array = self.rows.column(index, self.vocab_size);
                for leaf in compute_leaves(field, &array)? {
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

/// The rows of the row group in the making.
#[derive(Default)]
struct Rows {
    ids: Vec<[u8; 16]>,
    sources: StringBuilder,
    tokens: Vec<u32>,
    lengths: Vec<u32>,
    text_bytes: Vec<u32>,
    max_id: u32,
}

impl Rows {
    fn num_rows(&self) -> u64 {
        self.lengths.len() as u64
    }

    fn push(&mut self, sample: SampleRef<'_>, length: u32, max_id: u32) {
        self.ids.push(sample.id.0);
        self.sources.append_value(sample.source);
        self.tokens.extend_from_slice(sample.tokens);
        self.lengths.push(length);
        self.text_bytes.push(sample.num_bytes);
        self.max_id = self.max_id.max(max_id);
    }

    /// A column, in the order of [`schema`].
    fn column(&mut self, index: usize, vocab_size: u32) -> ArrayRef {
        match index {
            0 => {
                let mut ids = BinaryBuilder::with_capacity(self.ids.len(), 16 * self.ids.len());
                self.ids.iter().for_each(|id| ids.append_value(id));
                Arc::new(ids.finish())
            }
            1 => Arc::new(self.sources.finish()),
            TOKENS => list(&self.lengths, &self.tokens, vocab_size),
            3 => Arc::new(UInt32Array::from_iter_values(self.lengths.iter().copied())),
            _ => Arc::new(UInt32Array::from_iter_values(self.text_bytes.iter().copied())),
        }
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.tokens.clear();
        self.lengths.clear();
        self.text_bytes.clear();
        self.max_id = 0;
    }
}

/// Tokens as a list of the narrowest type: what the columns' own writer takes.
fn list(lengths: &[u32], mut tokens: &[u32], vocab_size: u32) -> ArrayRef {
    let rows = lengths.iter().map(move |length| {
        let row;
        (row, tokens) = tokens.split_at(*length as usize);
        row
    });
    if token_type(vocab_size) == DataType::UInt16 {
        let mut list = ListBuilder::new(UInt16Builder::new()).with_field(item_field(vocab_size));
        for row in rows {
            let narrow = |id: &u32| u16::try_from(*id).expect("it is below vocab_size");
            list.values().extend(row.iter().map(narrow).map(Some));
            list.append(true);
        }
        return Arc::new(list.finish());
    }
    let mut list = ListBuilder::new(UInt32Builder::new()).with_field(item_field(vocab_size));
    for row in rows {
        list.values().append_slice(row);
        list.append(true);
    }
    Arc::new(list.finish())
}

fn token_type(vocab_size: u32) -> DataType {
    if vocab_size <= 1 << 16 { DataType::UInt16 } else { DataType::UInt32 }
}

fn item_field(vocab_size: u32) -> Field {
    Field::new("item", token_type(vocab_size), false)
}

fn schema(vocab_size: u32) -> SchemaRef {
    let tokens = DataType::List(Arc::new(item_field(vocab_size)));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Binary, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("tokens", tokens, false),
        Field::new("num_tokens", DataType::UInt32, false),
        Field::new("num_bytes", DataType::UInt32, false),
    ]))
}

fn properties(header: &Header, layout: &Layout) -> WriterProperties {
    let mut pairs = vec![
        ("stillflow.version", VERSION.to_string()),
        ("stillflow.tokenizer", header.tokenizer.to_string()),
        ("stillflow.vocab_size", header.vocab_size.to_string()),
    ];
    pairs.extend(header.bos_id.map(|id| ("stillflow.bos_id", id.to_string())));
    pairs.extend(header.eos_id.map(|id| ("stillflow.eos_id", id.to_string())));
    let pairs =
        pairs.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
    let tokens = ColumnPath::new(["tokens", "list", "item"].map(str::to_owned).to_vec());
    let properties = WriterProperties::builder()
        .set_created_by("stillflow".to_owned())
        .set_key_value_metadata(Some(pairs))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_column_compression(tokens.clone(), layout.compression())
        .set_column_dictionary_enabled(tokens.clone(), layout.encoding().is_none())
        .set_dictionary_enabled(false)
        .set_column_dictionary_enabled(ColumnPath::from("source"), true)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(usize::MAX)
        .set_data_page_size_limit(layout.page_bytes);
    match layout.encoding() {
        Some(encoding) => properties.set_column_encoding(tokens, encoding).build(),
        None => properties.build(),
    }
}
