//! Reading a Parquet file that may be anything: the one door to the `parquet` crate's reader.
//!
//! The crate answers most damage with an error, but not all: some footers make it panic (`reference/data.md`, 6.1).
//! Every call goes through [`guarded`], which turns a panic into an error like any other, and chunk ranges are checked
//! against the file's length before anything is read.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{ConvertedType, LogicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnDescriptor;

use crate::shard::ShardError;

/// Why a Parquet file, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParquetFault {
    /// The reader's own error.
    #[error("the parquet reader refused it")]
    Refused(#[from] ParquetError),
    /// An error of the Arrow layer.
    #[error("the arrow reader refused it")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The file cannot be opened or read.
    #[error("the file cannot be read")]
    Io(#[from] std::io::Error),
    /// The reader panicked on the file.
    #[error("the parquet reader panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// A column chunk that lies outside the file.
    #[error(
        "column chunk {column} of row group {row_group} lies at {offset}..{end} of {bytes} bytes"
    )]
    Outside {
        /// The row group, from 0.
        row_group: usize,
        /// The leaf column, from 0.
        column: usize,
        /// Where the footer says that it starts.
        offset: i64,
        /// Where the footer says that it ends.
        end: i64,
        /// The file's length.
        bytes: u64,
    },
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, would become a [`ParquetFault::Panicked`]: a panic hook that ends the
/// process must let it pass.
pub fn panic_is_caught() -> bool {
    GUARDED.get()
}

/// Calls into the reader, and turns a panic of it into an error.
pub(crate) fn guarded<T>(f: impl FnOnce() -> Result<T, ParquetFault>) -> Result<T, ParquetFault> {
    let before = GUARDED.replace(true);
    // Nothing that `f` may leave half-done outlives the error.
    let done = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(before);
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let message =
            text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(ParquetFault::Panicked { message: message.to_owned() })
    })
}

/// Reads and checks a footer.
pub(crate) fn metadata(file: &impl ChunkReader) -> Result<ArrowReaderMetadata, ParquetFault> {
    guarded(|| {
        let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
        for (row_group, group) in metadata.metadata().row_groups().iter().enumerate() {
            for (column, chunk) in group.columns().iter().enumerate() {
                let offset = start_of(chunk);
                let end = offset.saturating_add(chunk.compressed_size());
                let bytes = file.len();
                let whole = offset >= 4 && end >= offset && end.unsigned_abs() <= bytes;
                if !whole {
                    return Err(ParquetFault::Outside { row_group, column, offset, end, bytes });
                }
            }
        }
        Ok(metadata)
    })
}

/// Opens a file and reads its footer.
pub(crate) fn open(path: &Path) -> Result<(File, ArrowReaderMetadata), ParquetFault> {
    let file = File::open(path)?;
    let metadata = metadata(&file)?;
    Ok((file, metadata))
}

/// Reads some root columns of one row group, `batch_rows` rows a batch.
pub(crate) fn row_group(
    file: impl ChunkReader + 'static,
    metadata: &ArrowReaderMetadata,
    row_group: usize,
    roots: &[usize],
    batch_rows: usize,
) -> Result<Vec<RecordBatch>, ParquetFault> {
    guarded(|| {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_row_groups(vec![row_group])
            .with_batch_size(batch_rows)
            .build()?;
        Ok(reader.collect::<Result<Vec<_>, _>>()?)
    })
}

/// The index of a column.
pub(crate) fn root(
    path: &Path,
    column: &str,
    metadata: &ArrowReaderMetadata,
) -> Result<usize, ShardError> {
    let fields = metadata.schema().fields();
    let mut places =
        fields.iter().enumerate().filter(|(_, field)| field.name() == column).map(|(i, _)| i);
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => {
            let (path, column) = (path.to_owned(), column.to_owned());
            Err(ShardError::AmbiguousColumn { path, column })
        }
        (None, _) => Err(ShardError::MissingColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            have: fields.iter().map(|field| field.name().clone()).collect(),
        }),
    }
}

/// Where the stored bytes of a row group end.
pub(crate) fn end_of(group: &RowGroupMetaData) -> u64 {
    let end = |chunk: &ColumnChunkMetaData| {
        let (offset, size) = (start_of(chunk), chunk.compressed_size());
        u64::try_from(offset.saturating_add(size)).unwrap_or(0)
    };
    group.columns().iter().map(end).max().unwrap_or(0)
}

fn start_of(chunk: &ColumnChunkMetaData) -> i64 {
    // Some writers say that the dictionary is at 0 where there is none.
    let dictionary = chunk.dictionary_page_offset().filter(|offset| *offset > 0);
    dictionary.unwrap_or(chunk.data_page_offset()).min(chunk.data_page_offset())
}

/// A file that ends as Parquet does, and does not begin so.
pub(crate) fn not_at_its_start() -> ParquetFault {
    ParquetFault::Refused(ParquetError::General(
        "it does not begin with `PAR1`: other bytes come before".to_owned(),
    ))
}

/// Where a column chunk begins in the file and ends.
pub(crate) fn range_of(chunk: &ColumnChunkMetaData) -> Range<u64> {
    let (start, size) = (start_of(chunk), chunk.compressed_size());
    let place = |at: i64| u64::try_from(at).unwrap_or(0);
    place(start)..place(start.saturating_add(size)).max(place(start))
}

/// How many values there are, from 0, of a column of integers of 32 bits or fewer.
pub(crate) fn values_of(column: &ColumnDescriptor) -> u64 {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(of)), _) => {
            let bits = u32::try_from(of.bit_width).unwrap_or(32).min(32);
            1 << bits.saturating_sub(u32::from(of.is_signed))
        }
        (_, ConvertedType::UINT_8) => 1 << 8,
        (_, ConvertedType::UINT_16) => 1 << 16,
        (_, ConvertedType::UINT_32) => 1 << 32,
        (_, ConvertedType::INT_8) => 1 << 7,
        (_, ConvertedType::INT_16) => 1 << 15,
        _ => 1 << 31,
    }
}
