//! Small tables of numbers in Parquet: metrics and scores.
//!
//! One row group, zstd, no nulls, no dates: the same table makes the same bytes. Text is dictionary-encoded.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::parquet_file::{self, ParquetFault};
use crate::store::{AtomicFile, StoreError, Written};

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Counts.
    U64(Vec<u64>),
    /// Numbers.
    F64(Vec<f64>),
    /// Numbers of single precision.
    F32(Vec<f32>),
    /// Names.
    Text(Vec<String>),
}

impl Column {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        match self {
            Self::U64(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Columns of one length, with names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The columns, in order.
    pub columns: Vec<(String, Column)>,
}

/// An error of a table: the file, the column, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Columns of different lengths, or two of one name.
    #[error("column `{column}` of table `{}` has {found} rows and a name of its own, expected {expected} rows", path.display())]
    BadColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The first column's length.
        expected: usize,
        /// This one's.
        found: usize,
    },
    /// A file that cannot be written.
    #[error("could not write table `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetFault,
    },
    /// A file that cannot be made durable.
    #[error("could not store table `{}`", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A file that is not Parquet, or a damaged one.
    #[error("`{}` is not a table that can be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetFault,
    },
    /// A column of a type that a table does not have, or with nulls.
    #[error("column `{column}` of table `{}` is {found}, expected uint64, float64, float32 or utf8, without nulls", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
}

impl Table {
    /// A table of these columns.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, Column)>) -> Self {
        Self { columns: columns.into_iter().map(|(name, column)| (name.into(), column)).collect() }
    }

    /// How many rows it has.
    pub fn num_rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// The column of a name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(found, _)| found == name).map(|(_, column)| column)
    }

    /// Writes the table, atomically.
    ///
    /// # Errors
    /// [`TableError::BadColumn`] if it is no table, [`TableError::Write`] or [`TableError::Store`] if it cannot be
    /// written; what was at the path before is then still there.
    pub fn write(&self, path: &Path) -> Result<Written, TableError> {
        self.write_with(path, &BTreeMap::new())
    }

    /// Writes the table, and with it what is true of all its rows: Parquet's key-value metadata.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_with(
        &self,
        path: &Path,
        notes: &BTreeMap<String, String>,
    ) -> Result<Written, TableError> {
        let expected = self.num_rows();
        for (n, (name, column)) in self.columns.iter().enumerate() {
            let found = column.len();
            if found != expected || self.columns[..n].iter().any(|(other, _)| other == name) {
                let (path, column) = (path.to_owned(), name.clone());
                return Err(TableError::BadColumn { path, column, expected, found });
            }
        }
        let store = |source| TableError::Store { path: path.to_owned(), source };
        let mut file = AtomicFile::create(path).map_err(store)?;
        self.encode(&mut file, notes)
            .map_err(|source| TableError::Write { path: path.to_owned(), source })?;
        file.commit().map_err(store)
    }

    fn encode(
        &self,
        file: &mut AtomicFile,
        notes: &BTreeMap<String, String>,
    ) -> Result<(), ParquetFault> {
        let mut fields = Vec::new();
        let mut arrays = Vec::<ArrayRef>::new();
        for (name, column) in &self.columns {
            arrays.push(match column {
                Column::U64(values) => Arc::new(UInt64Array::from(values.clone())),
                Column::F64(values) => Arc::new(Float64Array::from(values.clone())),
                Column::F32(values) => Arc::new(Float32Array::from(values.clone())),
                Column::Text(values) => Arc::new(StringArray::from_iter_values(values)),
            });
            let data_type = arrays.last().map_or(DataType::Null, |array| array.data_type().clone());
            fields.push(Field::new(name, data_type, false));
        }
        let schema = Arc::new(Schema::new(fields));
        let notes = notes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let notes: Vec<KeyValue> = notes.collect();
        let properties = WriterProperties::builder()
            .set_key_value_metadata((!notes.is_empty()).then_some(notes))
            .set_created_by("stillflow".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
            .set_max_row_group_row_count(None)
            .build();
        let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
        if self.num_rows() > 0 {
            writer.write(&RecordBatch::try_new(schema, arrays)?)?;
        }
        writer.close()?;
        Ok(())
    }

    /// Reads a table, also one that others wrote, if its columns are of these four types.
    ///
    /// # Errors
    /// [`TableError::Read`] or [`TableError::WrongType`].
    pub fn read(path: &Path) -> Result<Self, TableError> {
        Ok(Self::read_with(path)?.0)
    }

    /// Reads a table, and what is true of all its rows.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with(path: &Path) -> Result<(Self, BTreeMap<String, String>), TableError> {
        let read = |source| TableError::Read { path: path.to_owned(), source };
        let (_, metadata) = parquet_file::open(path).map_err(read)?;
        let roots: Vec<usize> = (0..metadata.schema().fields().len()).collect();
        let mut columns = Vec::new();
        for field in metadata.schema().fields() {
            let column = empty(field.data_type()).ok_or_else(|| wrong(path, field))?;
            columns.push((field.name().clone(), column));
        }
        for row_group in 0..metadata.metadata().num_row_groups() {
            let file = File::open(path).map_err(ParquetFault::from).map_err(read)?;
            let batches = parquet_file::row_group(file, &metadata, row_group, &roots, 1 << 16);
            for batch in batches.map_err(read)? {
                let fields = metadata.schema().fields();
                for (n, (_, column)) in columns.iter_mut().enumerate() {
                    append(column, batch.column(n)).ok_or_else(|| wrong(path, &fields[n]))?;
                }
            }
        }
        let notes = metadata.metadata().file_metadata().key_value_metadata();
        let notes = notes.into_iter().flatten().filter_map(|KeyValue { key, value }| {
            Some((key.clone(), value.clone()?)).filter(|_| key != "ARROW:schema")
        });
        let notes = notes.collect();
        Ok((Self { columns }, notes))
    }
}

fn wrong(path: &Path, field: &Field) -> TableError {
    let (path, column) = (path.to_owned(), field.name().clone());
    TableError::WrongType { path, column, found: field.data_type().to_string() }
}

fn empty(data_type: &DataType) -> Option<Column> {
    Some(match data_type {
        DataType::UInt64 => Column::U64(Vec::new()),
        DataType::Float64 => Column::F64(Vec::new()),
        DataType::Float32 => Column::F32(Vec::new()),
        DataType::Utf8 => Column::Text(Vec::new()),
        _ => return None,
    })
}

fn append(column: &mut Column, array: &ArrayRef) -> Option<()> {
    if array.null_count() > 0 {
        return None;
    }
    match column {
        Column::U64(values) => values.extend(array.as_primitive_opt::<UInt64Type>()?.values()),
        Column::F64(values) => values.extend(array.as_primitive_opt::<Float64Type>()?.values()),
        Column::F32(values) => values.extend(array.as_primitive_opt::<Float32Type>()?.values()),
        Column::Text(values) => {
            values.extend(array.as_string_opt::<i32>()?.iter().flatten().map(str::to_owned));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use arrow_array::Int8Array;

    use super::*;

    fn table(rows: u32) -> Table {
        Table::new([
            ("step", Column::U64((0..u64::from(rows)).collect())),
            ("loss", Column::F64((0..rows).map(|i| 1.0 / f64::from(i + 1)).collect())),
            ("score", Column::F32((0..rows).map(|_| 0.1f32).collect())),
            ("layer", Column::Text((0..rows).map(|i| format!("layer {}", i % 3)).collect())),
        ])
    }

    #[test]
    fn what_is_true_of_all_rows_is_read_back_and_is_not_there_where_it_was_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        let notes = BTreeMap::from([("teacher".to_owned(), "ab".to_owned())]);
        let written = table(3).write_with(&path, &notes).unwrap();
        assert_eq!(Table::read_with(&path).unwrap(), (table(3), notes.clone()));
        assert_eq!(table(3).write_with(&path, &notes).unwrap(), written);
        table(3).write(&path).unwrap();
        assert_eq!(Table::read_with(&path).unwrap(), (table(3), BTreeMap::new()));
    }

    #[test]
    fn a_table_is_read_as_it_was_written_and_its_bytes_are_always_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        for rows in [0, 1, 1000, 100_000] {
            let table = table(rows);
            let written = table.write(&path).unwrap();
            assert_eq!(Table::read(&path).unwrap(), table);
            assert_eq!(table.write(&path).unwrap(), written);
            assert_eq!(written.bytes, fs::metadata(&path).unwrap().len());
        }
        let extremes = [u64::MAX, 0];
        let table = Table::new([
            ("n", Column::U64(extremes.to_vec())),
            ("x", Column::F64(vec![f64::INFINITY, f64::MIN_POSITIVE])),
        ]);
        table.write(&path).unwrap();
        assert_eq!(Table::read(&path).unwrap(), table);
        assert_eq!(table.column("n"), Some(&Column::U64(extremes.to_vec())));
        assert_eq!(table.column("absent"), None);
    }

    #[test]
    fn what_is_no_table_is_refused_and_the_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        table(3).write(&path).unwrap();
        let mut uneven = table(3);
        uneven.columns[1].1 = Column::F64(vec![0.0]);
        assert!(matches!(uneven.write(&path), Err(TableError::BadColumn { found: 1, .. })));
        let mut twice = table(3);
        twice.columns[1].0 = "step".to_owned();
        assert!(matches!(twice.write(&path), Err(TableError::BadColumn { .. })));
        assert_eq!(Table::read(&path).unwrap(), table(3));
    }

    #[test]
    fn a_file_that_is_no_table_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        assert!(matches!(Table::read(&path), Err(TableError::Read { .. })));
        fs::write(&path, "PAR1 and nothing else").unwrap();
        assert!(matches!(Table::read(&path), Err(TableError::Read { .. })));
        let arrays: [ArrayRef; 2] = [
            Arc::new(Int8Array::from(vec![1])),
            Arc::new(Float64Array::from(vec![None, Some(1.0)])),
        ];
        for array in arrays {
            let batch = RecordBatch::try_from_iter([("a", array)]).unwrap();
            let file = File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let error = Table::read(&path).unwrap_err();
            assert!(matches!(error, TableError::WrongType { .. }), "{error}");
        }
        table(50).write(&path).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            // An error or another value, never a panic: a table carries no hash of its own.
            drop(Table::read(&path));
        }
    }
}
