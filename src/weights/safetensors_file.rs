//! One safetensors file, written tensor by tensor.
//!
//! ```text
//! u64 little-endian: length of the header     header: JSON, padded with spaces to 8 bytes     data
//! {"__metadata__": {"format": "pt"}, "<name>": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//! ```
//!
//! Tensors stand in the order given, without holes. At most one tensor's bytes are in memory at a time.

use std::io::{self, Write};
use std::path::Path;

use datasets::store::{StoreError, Written, write_atomic};
use serde_json::{Map, Value, json};

/// A tensor to come.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub name: String,
    /// `F32`, `F16` or `BF16`.
    pub dtype: &'static str,
    /// Its dimensions.
    pub dims: Vec<usize>,
}

impl Entry {
    /// Bytes of its data.
    #[must_use]
    pub fn num_bytes(&self) -> u64 {
        let size = if self.dtype == "F32" { 4 } else { 2 };
        self.dims.iter().product::<usize>() as u64 * size
    }
}

/// Writes the file; `fetch(i)` gives the bytes of entry `i`, and is called once for each, in order.
///
/// # Errors
///
/// If the file cannot be made durable.
pub fn write(
    path: &Path,
    entries: &[Entry],
    mut fetch: impl FnMut(usize) -> Vec<u8>,
) -> Result<Written, StoreError> {
    write_each(path, entries, |i, file| file.write_all(&fetch(i)))
}

/// Writes the file; `fill(i, file)` writes the bytes of entry `i`, and is called once for each, in order.
///
/// # Errors
///
/// If the file cannot be made durable, or `fill` fails or writes more or less than the entry's bytes.
pub fn write_each(
    path: &Path,
    entries: &[Entry],
    mut fill: impl FnMut(usize, &mut dyn Write) -> io::Result<()>,
) -> Result<Written, StoreError> {
    write_atomic(path, |file| {
        let header = header(entries);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (i, entry) in entries.iter().enumerate() {
            let mut counted = Counted { file: &mut *file, bytes: 0 };
            fill(i, &mut counted)?;
            let found = counted.bytes;
            if found != entry.num_bytes() {
                return Err(io::Error::other(format!("tensor `{}` has {found} bytes", entry.name)));
            }
        }
        Ok(())
    })
}

/// Counts what is written.
struct Counted<'a> {
    file: &'a mut (dyn Write + Send),
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn header(entries: &[Entry]) -> Vec<u8> {
    let mut object = Map::new();
    object.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut offset = 0;
    for entry in entries {
        let end = offset + entry.num_bytes();
        let value =
            json!({"dtype": entry.dtype, "shape": entry.dims, "data_offsets": [offset, end]});
        object.insert(entry.name.clone(), value);
        offset = end;
    }
    let mut header = Value::Object(object).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}
