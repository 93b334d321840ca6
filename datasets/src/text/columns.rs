//! Documents out of a Parquet column of text.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::TextError;
use crate::parquet_file;

const BATCH_ROWS: usize = 1024;

/// Opens a file, checks that its column is text, and returns how many row groups it has.
pub(super) fn num_row_groups(path: &Path, column: &str) -> Result<usize, TextError> {
    let (_, metadata) = open(path)?;
    find(path, column, &metadata)?;
    Ok(metadata.metadata().num_row_groups())
}

/// The texts of a row group, each with its row in the file.
pub(super) fn row_group(
    path: &Path,
    column: &str,
    row_group: usize,
) -> Result<Vec<(u64, String)>, TextError> {
    let (file, metadata) = open(path)?;
    let root = find(path, column, &metadata)?;
    let groups = metadata.metadata().row_groups();
    let before = groups.iter().take(row_group).map(|group| group.num_rows().unsigned_abs());
    let mut row = before.sum::<u64>();
    let batches = parquet_file::row_group(file, &metadata, row_group, &[root], BATCH_ROWS)
        .map_err(|source| TextError::BadRowGroup { path: path.to_owned(), row_group, source })?;
    let mut texts = Vec::new();
    for batch in &batches {
        for text in strings(path, column, batch)? {
            let null = || TextError::Null { path: path.to_owned(), column: column.to_owned(), row };
            texts.push((row, text.ok_or_else(null)?));
            row += 1;
        }
    }
    Ok(texts)
}

fn open(path: &Path) -> Result<(std::fs::File, ArrowReaderMetadata), TextError> {
    parquet_file::open(path)
        .map_err(|source| TextError::NotParquet { path: path.to_owned(), source })
}

fn find(path: &Path, column: &str, metadata: &ArrowReaderMetadata) -> Result<usize, TextError> {
    let fields = metadata.schema().fields();
    let Some((index, field)) = fields.find(column) else {
        let have = fields.iter().map(|field| field.name().clone()).collect();
        return Err(TextError::MissingColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            have,
        });
    };
    if is_text(field.data_type()) { Ok(index) } else { Err(wrong(path, column, field.data_type())) }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn wrong(path: &Path, column: &str, found: &DataType) -> TextError {
    let found = found.to_string();
    TextError::WrongType { path: path.to_owned(), column: column.to_owned(), found }
}

fn strings(
    path: &Path,
    column: &str,
    batch: &RecordBatch,
) -> Result<Vec<Option<String>>, TextError> {
    let array = batch.column(0);
    let Some(dictionary) = array.as_any_dictionary_opt() else {
        return plain(array).ok_or_else(|| wrong(path, column, array.data_type()));
    };
    let values =
        plain(dictionary.values()).ok_or_else(|| wrong(path, column, array.data_type()))?;
    // Keys of null rows may be anything, so the nulls are looked at first.
    let keys = if values.is_empty() { vec![0; array.len()] } else { dictionary.normalized_keys() };
    let text = |(row, key): (usize, usize)| {
        if array.is_null(row) { None } else { values.get(key).cloned().flatten() }
    };
    Ok(keys.into_iter().enumerate().map(text).collect())
}

fn plain(array: &ArrayRef) -> Option<Vec<Option<String>>> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(owned).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(owned).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(owned).collect(),
        _ => return None,
    })
}
