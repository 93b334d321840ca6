//! Writes a shard.

use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, ListBuilder, StringBuilder, UInt16Builder, UInt32Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::checksum::Summing;
use super::manifest::VERSION;
use super::{Checksum, Header, Layout, RowGroup, Sample, ShardEntry, ShardError};
use crate::parquet_file::ParquetFault;
use crate::store::AtomicFile;

/// The longest sample, and the largest row group: Arrow counts a list's values in 31 bits.
const MAX_TOKENS: usize = 1 << 28;

/// A shard in the making: it appears whole with [`finish`](Self::finish), or not at all.
pub struct ShardWriter {
    path: PathBuf,
    vocab_size: u32,
    layout: Layout,
    schema: SchemaRef,
    writer: ArrowWriter<Sink>,
    progress: Arc<Mutex<Progress>>,
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
        let progress = Arc::new(Mutex::new(Progress::default()));
        let sink = Sink { file, progress: Arc::clone(&progress) };
        let schema = schema(header.vocab_size);
        let writer =
            ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties(header, &layout)))
                .map_err(ShardError::write(path))?;
        Ok(Self {
            path: path.to_owned(),
            vocab_size: header.vocab_size,
            layout,
            schema,
            writer,
            progress,
            rows: Rows::new(header.vocab_size),
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
        if sample.tokens.len() > MAX_TOKENS {
            let (id, tokens) = (sample.id, sample.tokens.len());
            return Err(ShardError::TooLong { id, tokens, limit: MAX_TOKENS });
        }
        if let Some(position) = sample.tokens.iter().position(|id| *id >= self.vocab_size) {
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
        self.rows.push(sample).map_err(ShardError::write(&self.path))?;
        if self.rows.num_tokens >= self.layout.row_group_tokens.clamp(1, MAX_TOKENS as u64) {
            self.end_row_group()
        } else {
            Ok(())
        }
    }

    /// Ends the shard and makes it durable.
    ///
    /// # Errors
    /// [`ShardError`] if it cannot be written; then there is no shard.
    pub fn finish(mut self) -> Result<ShardEntry, ShardError> {
        if self.rows.num_rows() > 0 {
            self.end_row_group()?;
        }
        let Sink { file, .. } = self.writer.into_inner().map_err(ShardError::write(&self.path))?;
        let written = file.commit().map_err(ShardError::store(&self.path))?;
        let (_, _, footer) = take_segment(&self.progress);
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (bytes, digest, row_groups) = (written.bytes, written.digest, self.row_groups);
        Ok(ShardEntry { file, bytes, digest, row_groups, footer })
    }

    fn end_row_group(&mut self) -> Result<(), ShardError> {
        let (rows, tokens, max_id) = (self.rows.num_rows(), self.rows.num_tokens, self.rows.max_id);
        let columns = self.rows.take();
        let written = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(ParquetFault::from)
            .and_then(|batch| {
                self.writer.write(&batch)?;
                self.writer.flush()?;
                // `flush` ends the row group; `sync` brings its bytes to the sink.
                Ok(self.writer.sync()?)
            });
        written.map_err(ShardError::write(&self.path))?;
        let (offset, bytes, hash) = take_segment(&self.progress);
        self.row_groups.push(RowGroup { rows, tokens, max_id, offset, bytes, hash });
        Ok(())
    }
}

/// What went to the file: the segment that began with the last row group's end is hashed by itself.
#[derive(Default)]
struct Progress {
    start: u64,
    bytes: u64,
    summing: Summing,
}

fn take_segment(progress: &Mutex<Progress>) -> (u64, u64, Checksum) {
    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    let start = progress.start + progress.bytes;
    let Progress { start: offset, bytes, summing } =
        mem::replace(&mut *progress, Progress { start, ..Progress::default() });
    (offset, bytes, summing.finish())
}

struct Sink {
    file: AtomicFile,
    progress: Arc<Mutex<Progress>>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.summing.update(&bytes[..n]);
        progress.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The rows of the row group in the making.
struct Rows {
    ids: BinaryBuilder,
    sources: StringBuilder,
    tokens: Tokens,
    lengths: UInt32Builder,
    text_bytes: UInt32Builder,
    num_tokens: u64,
    max_id: u32,
}

enum Tokens {
    U16(ListBuilder<UInt16Builder>),
    U32(ListBuilder<UInt32Builder>),
}

impl Rows {
    fn new(vocab_size: u32) -> Self {
        let tokens = match token_type(vocab_size) {
            DataType::UInt16 => Tokens::U16(
                ListBuilder::new(UInt16Builder::new()).with_field(item_field(vocab_size)),
            ),
            _ => Tokens::U32(
                ListBuilder::new(UInt32Builder::new()).with_field(item_field(vocab_size)),
            ),
        };
        Self {
            ids: BinaryBuilder::new(),
            sources: StringBuilder::new(),
            tokens,
            lengths: UInt32Builder::new(),
            text_bytes: UInt32Builder::new(),
            num_tokens: 0,
            max_id: 0,
        }
    }

    fn num_rows(&self) -> u64 {
        self.lengths.len() as u64
    }

    fn push(&mut self, sample: &Sample) -> Result<(), ParquetFault> {
        let length = u32::try_from(sample.tokens.len()).expect("it is at most MAX_TOKENS");
        self.ids.append_value(sample.id.0);
        self.sources.append_value(&*sample.source);
        match &mut self.tokens {
            Tokens::U16(list) => {
                for id in &sample.tokens {
                    list.values().append_value(u16::try_from(*id).expect("it is below vocab_size"));
                }
                list.append(true);
            }
            Tokens::U32(list) => {
                list.values().append_slice(&sample.tokens);
                list.append(true);
            }
        }
        self.lengths.append_value(length);
        self.text_bytes.append_value(sample.num_bytes);
        self.num_tokens += u64::from(length);
        self.max_id = sample.tokens.iter().copied().fold(self.max_id, u32::max);
        Ok(())
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        (self.num_tokens, self.max_id) = (0, 0);
        vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.sources.finish()),
            match &mut self.tokens {
                Tokens::U16(list) => Arc::new(list.finish()),
                Tokens::U32(list) => Arc::new(list.finish()),
            },
            Arc::new(self.lengths.finish()),
            Arc::new(self.text_bytes.finish()),
        ]
    }
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
