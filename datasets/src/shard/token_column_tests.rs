//! The token column beside the one that `parquet` writes.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, UInt32Builder};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::ZstdLevel;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::random::{below, stream};

/// A file of one column, and its rows: `ours` or that of the columns' own writer.
fn file(ours: bool, lengths: &[u32], mut tokens: &[u32], page_bytes: usize) -> Bytes {
    let item = Arc::new(Field::new("item", DataType::UInt32, false));
    let field = Field::new("tokens", DataType::List(item.clone()), false);
    let schema = Arc::new(Schema::new(vec![field]));
    let compression = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::BYTE_STREAM_SPLIT)
        .set_data_page_size_limit(page_bytes)
        .build();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, schema.clone(), Some(properties)).unwrap();
    if ours {
        let (mut writer, _) = writer.into_serialized_writer().unwrap();
        let descriptor = writer.schema_descr().column(0);
        let mut column = TokenColumn::new(1, compression, page_bytes).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let (bytes, close) = column.encode(&descriptor, lengths, tokens).unwrap();
        group.append_column(&bytes, close).unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    } else {
        let mut list = ListBuilder::new(UInt32Builder::new()).with_field(item);
        for length in lengths {
            let row;
            (row, tokens) = tokens.split_at(*length as usize);
            list.values().append_slice(row);
            list.append(true);
        }
        let column: ArrayRef = Arc::new(list.finish());
        writer.write(&RecordBatch::try_new(schema, vec![column]).unwrap()).unwrap();
        writer.close().unwrap();
    }
    out.into()
}

#[test]
fn an_ordinary_reader_finds_what_it_finds_in_the_ordinary_column() {
    let mut rng = stream(3, "token column", 0, 0);
    let mut random = |most: u64| u32::try_from(below(&mut rng, most)).unwrap();
    let mut cases: Vec<Vec<u32>> =
        vec![vec![1], vec![0], vec![0, 0, 3, 0], vec![1; 300], vec![70_000, 0, 1, 2], vec![64, 63]];
    for most in [2, 5, 300, 3000] {
        cases.push((0..400).map(|_| random(most)).collect());
    }
    for lengths in cases {
        let all = lengths.iter().sum::<u32>();
        for vocab_size in [2, 1 << 16, u64::from(u32::MAX)] {
            let tokens: Vec<u32> = (0..all).map(|_| random(vocab_size)).collect();
            for page_bytes in [1, 999, 1 << 20] {
                let read = |ours| {
                    let bytes = file(ours, &lengths, &tokens, page_bytes);
                    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
                    let column = reader.metadata().row_group(0).column(0);
                    let about = (column.num_values(), column.statistics().cloned());
                    let batches = reader.with_batch_size(1 << 20).build().unwrap();
                    let batches: Vec<_> = batches.map(|b| b.unwrap().column(0).to_data()).collect();
                    (about, batches)
                };
                assert!(read(true) == read(false), "{lengths:?} in pages of {page_bytes}");
            }
        }
    }
}
