//! Parquet files of others, read once: what our manifest would say of them.

use std::path::PathBuf;

use super::decode;
use super::folder::{Folder, ReadAt};
use super::reading::Reading;
use super::verified::Verified;
use super::{Checksum, RowGroup, ShardEntry, ShardError};
use crate::TokenLists;
use crate::parquet_file;
use crate::store::Hasher;

/// Rows that arrow decodes at once.
const BATCH_ROWS: usize = 64;

/// An entry for each file of a folder whose name ends in `.parquet`, or for the file that it is.
pub(super) fn adopt(
    folder: &dyn Folder,
    column: &str,
    vocab_size: u32,
) -> Result<Vec<ShardEntry>, ShardError> {
    let name = || PathBuf::from(folder.name());
    let io = |operation| move |source| ShardError::Io { path: name(), operation, source };
    let mut entries = Vec::new();
    for (file, _) in folder.list().map_err(io("list"))? {
        if file.is_empty() || file.ends_with(".parquet") {
            let opened = folder.open(&file).map_err(io("open"))?;
            entries.push(entry(&*opened, file, column, vocab_size)?);
        }
    }
    if entries.is_empty() {
        return Err(ShardError::Empty { path: name() });
    }
    Ok(entries)
}

fn entry(
    file: &dyn ReadAt,
    name: String,
    column: &str,
    vocab_size: u32,
) -> Result<ShardEntry, ShardError> {
    let path = PathBuf::from(file.name());
    let read = |range: std::ops::Range<u64>| {
        file.read(range).map_err(|source| ShardError::Io {
            path: path.clone(),
            operation: "read",
            source,
        })
    };
    let whole = read(0..file.size())?;
    let verified = Verified { bytes: file.size(), segments: vec![(0, whole.clone())] };
    let metadata = parquet_file::metadata(&verified)
        .map_err(|source| ShardError::NotParquet { path: path.clone(), source })?;
    if whole.get(..4) != Some(b"PAR1") {
        let source = parquet_file::not_at_its_start();
        return Err(ShardError::NotParquet { path, source });
    }
    let root = parquet_file::root(&path, column, &metadata)?;
    let found = metadata.schema().field(root).data_type();
    if !decode::holds_tokens(found) {
        let (column, found) = (column.to_owned(), found.to_string());
        let expected = decode::EXPECTED;
        return Err(ShardError::WrongType { path, column, expected, found });
    }
    let (mut row_groups, mut start, mut first_row) = (Vec::new(), 0u64, 0);
    let (mut hasher, mut lists) = (Hasher::new(), TokenLists::default());
    for (row_group, group) in metadata.metadata().row_groups().iter().enumerate() {
        lists.clear();
        let path = path.clone();
        let reading =
            Reading { path, row_group, column, vocab_size, first_row, batch_rows: BATCH_ROWS };
        let max_id = reading.lists(&verified, &metadata, &mut lists)?;
        let end = parquet_file::end_of(group).max(start).min(file.size());
        let hash = Checksum::of(&read(start..end)?);
        hasher.update(hash.to_string().as_bytes());
        let (rows, tokens) = (lists.len() as u64, lists.tokens.len() as u64);
        row_groups.push(RowGroup { rows, tokens, max_id, offset: start, bytes: end - start, hash });
        first_row += rows;
        start = end;
    }
    let footer = Checksum::of(&read(start..file.size())?);
    let digest = hasher.update(footer.to_string().as_bytes()).digest();
    Ok(ShardEntry { file: name, bytes: file.size(), digest, row_groups, footer })
}
