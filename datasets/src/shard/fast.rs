//! The fast way to the tokens of a row group, and when it is not to be gone.

use std::sync::Arc;

use parquet::basic::{Repetition, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;

use super::list::{self, Levels, Outcome};
use super::page::{Chunk, Fault, PageFault, Scratch, with_scratch};
use crate::TokenLists;
use crate::parquet_file;

/// Why the fast path gave up; `lists` are then as they were.
#[derive(Debug)]
pub(crate) enum NotOurs {
    /// A layout that it does not know, whose pages arrow-rs may read.
    Layout,
    /// Bytes that make no sense.
    Damaged(ParquetError),
}

/// A page that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("the page at byte {offset} is damaged: {source}")]
struct Damaged {
    offset: u64,
    source: PageFault,
}

impl From<Fault> for NotOurs {
    fn from(Fault { offset, fault: source }: Fault) -> Self {
        Self::Damaged(ParquetError::External(Box::new(Damaged { offset, source })))
    }
}

/// Appends the lists of a leaf column, and gives the largest token; 0 if there is none.
pub(crate) fn read<R: ChunkReader + 'static>(
    file: &Arc<R>,
    row_group: &RowGroupMetaData,
    column: usize,
    lists: &mut TokenLists,
) -> Result<u32, NotOurs> {
    let meta = row_group.column(column);
    let range = parquet_file::range_of(meta);
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let bytes = file.get_bytes(range.start, length).map_err(NotOurs::Damaged)?;
    let descriptor = meta.column_descr();
    let chunk = Chunk {
        bytes: &bytes,
        offset: range.start,
        codec: meta.compression(),
        num_values: meta.num_values().unsigned_abs(),
        num_rows: row_group.num_rows().unsigned_abs(),
        uncompressed: meta.uncompressed_size().unsigned_abs(),
        value_bytes: if descriptor.physical_type() == Type::INT64 { 8 } else { 4 },
    };
    let max = u32::try_from(descriptor.max_def_level()).unwrap_or(0);
    let repetition = descriptor.self_type().get_basic_info().repetition();
    let levels = Levels {
        list: max.saturating_sub(u32::from(repetition == Repetition::OPTIONAL)),
        item: max,
    };
    let is_ours = descriptor.physical_type() == Type::INT32
        && descriptor.max_rep_level() == 1
        && (1..=2).contains(&levels.list);
    if is_ours {
        let before = (lists.tokens.len(), lists.bounds.len());
        let outcome =
            with_scratch(|scratch: &mut Scratch| list::read(chunk, levels, scratch, lists))?;
        match outcome {
            Outcome::Done { max_id } if u64::from(max_id) < parquet_file::values_of(descriptor) => {
                return Ok(max_id);
            }
            Outcome::Done { .. } => {
                lists.tokens.truncate(before.0);
                lists.bounds.truncate(before.1);
                return Err(NotOurs::Damaged(ParquetError::General(
                    "it holds a value that its type does not".to_owned(),
                )));
            }
            Outcome::Other => {}
        }
    }
    // Before arrow-rs reads them: it believes what their headers say.
    chunk.check()?;
    Err(NotOurs::Layout)
}
