//! Rows of Arrow into samples, every value checked.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, RecordBatch};
use arrow_schema::{DataType, FieldRef};

use super::{Sample, SampleId, ShardError};
use crate::TokenLists;

/// The columns of our own shards, in their order.
pub(super) const COLUMNS: [&str; 5] = ["id", "source", "tokens", "num_tokens", "num_bytes"];

/// Where rows come from, for errors.
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) row_group: usize,
    pub(super) column: &'a str,
    pub(super) vocab_size: u32,
    /// The row of the file that the batch begins with.
    pub(super) first_row: u64,
}

impl Place<'_> {
    fn wrong(&self, column: &str, expected: &'static str, found: &DataType) -> ShardError {
        let (path, column, found) = (self.path.to_owned(), column.to_owned(), found.to_string());
        ShardError::WrongType { path, column, expected, found }
    }

    fn out_of_range(&self, row: usize, position: usize, id: String) -> ShardError {
        ShardError::TokenOutOfRange {
            path: self.path.to_owned(),
            row_group: self.row_group,
            row: self.row(row),
            position,
            id,
            vocab_size: self.vocab_size,
        }
    }

    /// Ends a list.
    fn bound(&self, row: usize, lists: &mut TokenLists) -> Result<(), ShardError> {
        let tokens = lists.tokens.len();
        let bound = u32::try_from(tokens).map_err(|_| ShardError::TooMany {
            path: self.path.to_owned(),
            row_group: self.row_group,
            row: self.row(row),
        })?;
        lists.bounds.push(bound);
        Ok(())
    }

    fn row(&self, row: usize) -> u64 {
        self.first_row + row as u64
    }

    fn no_nulls(&self, column: &str, array: &dyn Array) -> Result<(), ShardError> {
        match (0..array.len()).find(|row| array.null_count() > 0 && array.is_null(*row)) {
            None => Ok(()),
            Some(row) => Err(ShardError::Null {
                path: self.path.to_owned(),
                row_group: self.row_group,
                column: column.to_owned(),
                row: self.row(row),
            }),
        }
    }
}

/// What a column of tokens is.
pub(super) const EXPECTED: &str = "a list of integers, or binary of little-endian ones";

/// Whether a column can hold tokens.
pub(super) fn holds_tokens(data_type: &DataType) -> bool {
    let integers = |field: &FieldRef| field.data_type().is_integer();
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            integers(item)
        }
        other => matches!(other, DataType::Binary | DataType::LargeBinary),
    }
}

/// The values of a column of lengths.
pub(super) fn lengths(place: &Place<'_>, array: &ArrayRef) -> Result<Vec<u32>, ShardError> {
    place.no_nulls("num_tokens", array)?;
    let wrong = || place.wrong("num_tokens", "uint32", array.data_type());
    Ok(array.as_primitive_opt::<UInt32Type>().ok_or_else(wrong)?.values().to_vec())
}

/// The samples of a batch of our own shards.
pub(super) fn samples(place: &Place<'_>, batch: &RecordBatch) -> Result<Vec<Sample>, ShardError> {
    let column = |name: &str| {
        let array = batch.column_by_name(name).ok_or_else(|| ShardError::MissingColumn {
            path: place.path.to_owned(),
            column: name.to_owned(),
            have: batch.schema().fields().iter().map(|field| field.name().clone()).collect(),
        })?;
        place.no_nulls(name, array)?;
        Ok(array)
    };
    let [ids, sources, tokens, lengths, text_bytes] = [
        column("id")?,
        column("source")?,
        column("tokens")?,
        column("num_tokens")?,
        column("num_bytes")?,
    ];
    let ids = ids
        .as_binary_opt::<i32>()
        .filter(|ids| ids.iter().flatten().all(|id| id.len() == 16))
        .ok_or_else(|| place.wrong("id", "binary of 16 bytes", ids.data_type()))?;
    let sources = sources
        .as_string_opt::<i32>()
        .ok_or_else(|| place.wrong("source", "utf8", sources.data_type()))?;
    let uint32 = |name, array: &ArrayRef| {
        let wrong = || place.wrong(name, "uint32", array.data_type());
        array.as_primitive_opt::<UInt32Type>().cloned().ok_or_else(wrong)
    };
    let lengths = uint32("num_tokens", lengths)?;
    let text_bytes = uint32("num_bytes", text_bytes)?;
    let mut source: Arc<str> = Arc::from("");
    let mut samples = Vec::with_capacity(batch.num_rows());
    let mut read = TokenLists::default();
    lists(place, tokens, &mut read)?;
    for row in 0..read.len() {
        let tokens = read.get(row).to_vec();
        if tokens.len() as u64 != u64::from(lengths.value(row)) {
            return Err(ShardError::NumTokens {
                path: place.path.to_owned(),
                row: place.row(row),
                expected: u64::from(lengths.value(row)),
                found: tokens.len() as u64,
            });
        }
        let mut id = [0; 16];
        id.copy_from_slice(ids.value(row));
        // Neighbours mostly come from one file: they share its name.
        if *source != *sources.value(row) {
            source = Arc::from(sources.value(row));
        }
        let (id, source, num_bytes) = (SampleId(id), Arc::clone(&source), text_bytes.value(row));
        samples.push(Sample { id, source, tokens, num_bytes });
    }
    Ok(samples)
}

/// Appends the token lists of a column, of whatever list and integer type, and gives the largest token.
pub(super) fn lists(
    place: &Place<'_>,
    array: &ArrayRef,
    lists: &mut TokenLists,
) -> Result<u32, ShardError> {
    place.no_nulls(place.column, array)?;
    let (starts, values): (Vec<usize>, ArrayRef) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets().iter().map(|offset| usize::try_from(*offset));
            (offsets.filter_map(Result::ok).collect(), Arc::clone(list.values()))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets().iter().map(|offset| usize::try_from(*offset));
            (offsets.filter_map(Result::ok).collect(), Arc::clone(list.values()))
        }
        DataType::FixedSizeList(_, size) => {
            let list = array.as_fixed_size_list();
            let size = usize::try_from(*size).unwrap_or(0);
            let first = list.value_offset_at(0);
            ((0..=list.len()).map(|row| first + row * size).collect(), Arc::clone(list.values()))
        }
        DataType::Binary => return binary(place, array.as_binary::<i32>().iter(), lists),
        DataType::LargeBinary => return binary(place, array.as_binary::<i64>().iter(), lists),
        found => return Err(place.wrong(place.column, EXPECTED, found)),
    };
    if values.null_count() > 0
        && let Some(at) = (0..values.len()).find(|at| values.is_null(*at))
    {
        let row = starts.partition_point(|start| *start <= at).saturating_sub(1);
        let (path, column) = (place.path.to_owned(), place.column.to_owned());
        let (row_group, row) = (place.row_group, place.row(row));
        return Err(ShardError::Null { path, row_group, column, row });
    }
    match values.data_type() {
        DataType::Int8 => cut::<Int8Type>(place, &starts, &values, lists),
        DataType::Int16 => cut::<Int16Type>(place, &starts, &values, lists),
        DataType::Int32 => cut::<Int32Type>(place, &starts, &values, lists),
        DataType::Int64 => cut::<Int64Type>(place, &starts, &values, lists),
        DataType::UInt8 => cut::<UInt8Type>(place, &starts, &values, lists),
        DataType::UInt16 => cut::<UInt16Type>(place, &starts, &values, lists),
        DataType::UInt32 => cut::<UInt32Type>(place, &starts, &values, lists),
        DataType::UInt64 => cut::<UInt64Type>(place, &starts, &values, lists),
        _ => Err(place.wrong(place.column, EXPECTED, array.data_type())),
    }
}

/// Tokens as raw bytes: two a token where all ids fit, else four.
fn binary<'a>(
    place: &Place<'_>,
    rows: impl Iterator<Item = Option<&'a [u8]>>,
    lists: &mut TokenLists,
) -> Result<u32, ShardError> {
    let width = if place.vocab_size <= 1 << 16 { 2 } else { 4 };
    let mut max_id = 0;
    for (row, bytes) in rows.map(Option::unwrap_or_default).enumerate() {
        if bytes.len() % width != 0 {
            return Err(ShardError::NumTokens {
                path: place.path.to_owned(),
                row: place.row(row),
                expected: (bytes.len() / width * width) as u64,
                found: bytes.len() as u64,
            });
        }
        for (position, bytes) in bytes.chunks_exact(width).enumerate() {
            let id = bytes.iter().rev().fold(0, |id, byte| id << 8 | u32::from(*byte));
            if id >= place.vocab_size {
                return Err(place.out_of_range(row, position, id.to_string()));
            }
            max_id = max_id.max(id);
            lists.tokens.push(id);
        }
        place.bound(row, lists)?;
    }
    Ok(max_id)
}

fn cut<T>(
    place: &Place<'_>,
    starts: &[usize],
    values: &ArrayRef,
    lists: &mut TokenLists,
) -> Result<u32, ShardError>
where
    T: ArrowPrimitiveType,
    T::Native: TryInto<u32> + ToString,
{
    let values = values.as_primitive::<T>().values();
    let mut max_id = 0;
    for (row, range) in starts.windows(2).enumerate() {
        for (position, value) in values[range[0]..range[1]].iter().enumerate() {
            match (*value).try_into() {
                Ok(id) if id < place.vocab_size => {
                    max_id = max_id.max(id);
                    lists.tokens.push(id);
                }
                _ => return Err(place.out_of_range(row, position, value.to_string())),
            }
        }
        place.bound(row, lists)?;
    }
    Ok(max_id)
}
