//! The token column of a row group in the default layout, written from a flat list.
//!
//! What `parquet`'s own writer makes of a list array, without a level and a branch a token. The column is
//! `required group tokens { repeated group list { required int32 item } }`, so both of its levels are 0 or 1, and a row
//! is one repetition level 0 with ones behind it: runs. A page is
//!
//! ```text
//! u32 length, repetition levels: runs      (varint 2 * count, u8 level)
//! u32 length, definition levels: runs      0 for a row without a token
//! values, BYTE_STREAM_SPLIT                the lowest bytes of all tokens, then the next, 4 of them
//! ```
//!
//! compressed as a whole, and ends with the row that reaches [`Layout::page_bytes`](super::Layout). The tests compare it
//! with what [`ArrowWriter`](parquet::arrow::ArrowWriter) writes.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use crate::parquet_file::ParquetFault;

/// Writes token columns, one after the other: what they grow in is kept.
pub(crate) struct TokenColumn {
    compressor: Compressor<'static>,
    compression: Compression,
    page_bytes: usize,
    page: Vec<u8>,
}

impl TokenColumn {
    /// With pages of about so many bytes, at a level of Zstandard.
    pub(crate) fn new(
        level: u8,
        compression: Compression,
        page_bytes: usize,
    ) -> Result<Self, ParquetFault> {
        let compressor = Compressor::new(i32::from(level))?;
        Ok(Self { compressor, compression, page_bytes: page_bytes.max(1), page: Vec::new() })
    }

    /// The column chunk of rows of these lengths.
    pub(crate) fn encode(
        &mut self,
        column: &ColumnDescPtr,
        mut lengths: &[u32],
        mut tokens: &[u32],
    ) -> Result<(Bytes, ColumnCloseResult), ParquetFault> {
        let rows = lengths.len() as u64;
        let range =
            tokens.iter().fold((u32::MAX, 0), |(min, max), id| (min.min(*id), max.max(*id)));
        // A row without a token counts as a value that is not there.
        let absent = lengths.iter().filter(|length| **length == 0).count() as u64;
        let statistics = statistics((!tokens.is_empty()).then_some(range), absent);
        let (mut values, mut bytes, mut stored) = (0, 0, 0);
        let mut index = OffsetIndexBuilder::new();
        let mut out = TrackedWrite::new(Vec::new());
        let mut pages = SerializedPageWriter::new(&mut out);
        while !lengths.is_empty() {
            let (page_rows, page_tokens) = first_page(lengths, self.page_bytes);
            let (page_lengths, page_values);
            (page_lengths, lengths) = lengths.split_at(page_rows);
            (page_values, tokens) = tokens.split_at(page_tokens);
            let num_values = fill(&mut self.page, page_lengths, page_values);
            let page = Page::DataPage {
                buf: self.compressor.compress(&self.page)?.into(),
                num_values,
                encoding: Encoding::BYTE_STREAM_SPLIT,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let written = pages.write_page(CompressedPage::new(page, self.page.len()))?;
            values += i64::from(num_values);
            (bytes, stored) =
                (bytes + written.uncompressed_size as u64, stored + written.compressed_size as u64);
            let size = i32::try_from(written.compressed_size).unwrap_or(i32::MAX);
            index.append_offset_and_size(signed(written.offset), size);
            index.append_row_count(signed(page_rows as u64));
        }
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(self.compression)
            .set_encodings(vec![Encoding::RLE, Encoding::BYTE_STREAM_SPLIT])
            .set_num_values(values)
            .set_total_compressed_size(signed(stored))
            .set_total_uncompressed_size(signed(bytes))
            .set_data_page_offset(0)
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: stored,
            rows_written: rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(index.build()),
        };
        Ok((out.into_inner()?.into(), close))
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The least and the largest token, stored as signed and meant as unsigned.
fn statistics(range: Option<(u32, u32)>, absent: u64) -> Statistics {
    let (min, max) = range.unzip();
    let (min, max) = (min.map(u32::cast_signed), max.map(u32::cast_signed));
    Statistics::int32(min, max, None, Some(absent), false)
}

/// Rows and tokens of the first page.
fn first_page(lengths: &[u32], page_bytes: usize) -> (usize, usize) {
    let mut tokens = 0;
    for (row, length) in lengths.iter().enumerate() {
        tokens += *length as usize;
        if tokens * 4 >= page_bytes {
            return (row + 1, tokens);
        }
    }
    (lengths.len(), tokens)
}

/// A page, before it is compressed; how many levels it has of either kind.
fn fill(page: &mut Vec<u8>, lengths: &[u32], tokens: &[u32]) -> u32 {
    page.clear();
    let levels = |row: &u32| [(0, 1), (1, row.saturating_sub(1))];
    runs(page, lengths.iter().flat_map(levels));
    let num_values = runs(page, lengths.iter().map(|row| (u8::from(*row > 0), (*row).max(1))));
    split::<0>(page, tokens);
    split::<1>(page, tokens);
    split::<2>(page, tokens);
    split::<3>(page, tokens);
    num_values
}

/// Levels as runs, behind the length of what they take; how many they are.
fn runs(page: &mut Vec<u8>, levels: impl Iterator<Item = (u8, u32)>) -> u32 {
    let start = page.len();
    page.extend([0; 4]);
    let (mut level, mut count, mut all) = (0, 0, 0);
    for (next, more) in levels.filter(|(_, more)| *more > 0) {
        if next != level {
            run(page, level, count);
            (level, count) = (next, 0);
        }
        (count, all) = (count + more, all + more);
    }
    run(page, level, count);
    let length = u32::try_from(page.len() - start - 4).unwrap_or(u32::MAX);
    page[start..start + 4].copy_from_slice(&length.to_le_bytes());
    all
}

fn run(page: &mut Vec<u8>, level: u8, count: u32) {
    let mut header = u64::from(count) << 1;
    while count > 0 && header >= 0x80 {
        page.push(header.to_le_bytes()[0] | 0x80);
        header >>= 7;
    }
    if count > 0 {
        page.extend([header.to_le_bytes()[0], level]);
    }
}

/// One byte of each token.
fn split<const BYTE: usize>(page: &mut Vec<u8>, tokens: &[u32]) {
    page.extend(tokens.iter().map(|token| token.to_le_bytes()[BYTE]));
}

#[cfg(test)]
#[path = "token_column_tests.rs"]
mod tests;
