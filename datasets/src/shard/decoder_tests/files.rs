//! Small Parquet files of token lists, of every layout there is a way of reading for.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, FixedSizeListBuilder, Int64Builder, LargeListBuilder, ListBuilder,
    UInt16Builder, UInt32Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt16Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

/// A file of token lists.
pub(crate) struct Good {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) lists: Vec<Vec<u32>>,
    /// Where page headers begin: at least those of each row group's first page.
    pub(crate) headers: Vec<usize>,
}

/// The kinds of columns.
pub(crate) const KINDS: [&str; 8] = [
    "list of u32",
    "list of u32, nothing nullable",
    "list of u16",
    "large list of i64",
    "fixed lists",
    "binary",
    "list of u32, pages of version 2",
    "empty lists",
];

/// How values are stored.
pub(crate) const STORED: [&str; 7] =
    ["plain", "plain+zstd", "split+zstd", "split+lz4", "plain+snappy", "delta", "dictionary+gzip"];

/// A file. `tokens` draws a token, `length` a length.
pub(crate) fn file(
    kind: &str,
    stored: &str,
    page_bytes: usize,
    lists: Vec<Vec<u32>>,
    rows_a_group: usize,
) -> Good {
    let (array, nullable) = column(kind, &lists);
    let field = Field::new("tokens", array.data_type().clone(), nullable);
    let schema = Arc::new(Schema::new(vec![field]));
    let version =
        if kind.ends_with('2') { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let (encoding, codec) = stored.split_once('+').unwrap_or((stored, "none"));
    let builder = WriterProperties::builder()
        .set_writer_version(version)
        .set_dictionary_enabled(encoding == "dictionary")
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_size_limit(page_bytes)
        .set_write_batch_size(16)
        .set_data_page_row_count_limit(usize::MAX)
        .set_max_row_group_row_count(Some(rows_a_group))
        .set_compression(match codec {
            "zstd" => Compression::ZSTD(ZstdLevel::default()),
            "lz4" => Compression::LZ4_RAW,
            "snappy" => Compression::SNAPPY,
            "gzip" => Compression::GZIP(Default::default()),
            _ => Compression::UNCOMPRESSED,
        });
    let builder = match encoding {
        "split" if kind != "binary" => builder.set_encoding(Encoding::BYTE_STREAM_SPLIT),
        "delta" if kind != "binary" => builder.set_encoding(Encoding::DELTA_BINARY_PACKED),
        "dictionary" => builder,
        _ => builder.set_encoding(Encoding::PLAIN),
    };
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).expect("one column");
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, schema, Some(builder.build())).expect("a writer");
    writer.write(&batch).expect("memory");
    let metadata = writer.close().expect("memory");
    let header = |group: &parquet::file::metadata::RowGroupMetaData| {
        let chunk = group.column(0);
        usize::try_from(chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset())).ok()
    };
    let headers = metadata.row_groups().iter().filter_map(header).collect();
    Good { name: format!("{kind}, {stored}, pages of {page_bytes}"), bytes, lists, headers }
}

fn column(kind: &str, lists: &[Vec<u32>]) -> (ArrayRef, bool) {
    let u16_of = |id: &u32| u16::try_from(*id).expect("ids of this kind are small");
    match kind {
        "list of u32, nothing nullable" => {
            let item = Field::new("item", DataType::UInt32, false);
            let mut list = ListBuilder::new(UInt32Builder::new()).with_field(item);
            for tokens in lists {
                list.values().append_slice(tokens);
                list.append(true);
            }
            (Arc::new(list.finish()), false)
        }
        "list of u16" => {
            let mut list = ListBuilder::new(UInt16Builder::new());
            for tokens in lists {
                tokens.iter().for_each(|id| list.values().append_value(u16_of(id)));
                list.append(true);
            }
            (Arc::new(list.finish()), true)
        }
        "large list of i64" => {
            let mut list = LargeListBuilder::new(Int64Builder::new());
            for tokens in lists {
                tokens.iter().for_each(|id| list.values().append_value(i64::from(*id)));
                list.append(true);
            }
            (Arc::new(list.finish()), true)
        }
        "fixed lists" => {
            let length = i32::try_from(lists.first().map_or(1, Vec::len)).expect("a short list");
            let mut list = FixedSizeListBuilder::new(UInt32Builder::new(), length);
            for tokens in lists {
                list.values().append_slice(tokens);
                list.append(true);
            }
            (Arc::new(list.finish()), true)
        }
        "binary" => {
            let mut binary = BinaryBuilder::new();
            for tokens in lists {
                let bytes: Vec<u8> =
                    tokens.iter().flat_map(|id| u16_of(id).to_le_bytes()).collect();
                binary.append_value(bytes);
            }
            (Arc::new(binary.finish()), true)
        }
        _ => {
            let mut list = ListBuilder::new(UInt32Builder::new());
            for tokens in lists {
                list.values().append_slice(tokens);
                list.append(true);
            }
            (Arc::new(list.finish()), true)
        }
    }
}

/// Lists of a kind, of tokens below `vocab_size`. `below(n)` draws a number less than `n`.
pub(crate) fn lists(
    kind: &str,
    count: usize,
    vocab_size: u32,
    mut below: impl FnMut(u64) -> u64,
) -> Vec<Vec<u32>> {
    let list = |_| {
        let length = match kind {
            "fixed lists" => 7,
            "empty lists" if below(3) > 0 => 0,
            _ if below(4) == 0 => 1,
            _ => below(60),
        };
        let token = |_| u32::try_from(below(u64::from(vocab_size))).expect("an id");
        (0..length).map(token).collect()
    };
    (0..count).map(list).collect()
}

/// What arrow-rs makes of a file; nothing if it refuses it or panics, or if it holds what is no token.
pub(crate) fn by_arrow(bytes: &Bytes) -> Option<Vec<Vec<u32>>> {
    let read = || {
        // As lists, whatever Arrow's own schema says.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(bytes, options).ok()?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata);
        let mut lists = Vec::new();
        for batch in reader.with_batch_size(64).build().ok()? {
            let batch = batch.ok()?;
            let column = batch.column_by_name("tokens")?;
            for row in 0..column.len() {
                if column.is_null(row) {
                    return None;
                }
                lists.push(match column.data_type() {
                    DataType::Binary => {
                        let bytes = column.as_binary::<i32>().value(row).chunks(2);
                        bytes
                            .map(|b| Some(u32::from(*b.first()?) | u32::from(*b.get(1)?) << 8))
                            .collect::<Option<_>>()?
                    }
                    _ => tokens(&column.as_list_opt::<i32>()?.value(row))?,
                });
            }
        }
        Some(lists)
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok().flatten()
}

fn tokens(values: &ArrayRef) -> Option<Vec<u32>> {
    if values.null_count() > 0 {
        return None;
    }
    Some(match values.data_type() {
        DataType::UInt16 => {
            values.as_primitive::<UInt16Type>().values().iter().map(|v| u32::from(*v)).collect()
        }
        DataType::UInt32 => values.as_primitive::<UInt32Type>().values().to_vec(),
        DataType::Int32 => values
            .as_primitive::<Int32Type>()
            .values()
            .iter()
            .map(|v| u32::try_from(*v).ok())
            .collect::<Option<_>>()?,
        DataType::Int64 => values
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .map(|v| u32::try_from(*v).ok())
            .collect::<Option<_>>()?,
        _ => return None,
    })
}
