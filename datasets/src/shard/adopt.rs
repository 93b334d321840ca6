//! Parquet files of others, read once: what our manifest would say of them.

use std::path::PathBuf;
use std::sync::Arc;

use super::decode::{self, Place};
use super::fast::{self, NotOurs};
use super::folder::{Folder, ReadAt};
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
    let magic = [whole.get(..4), whole.len().checked_sub(4).and_then(|at| whole.get(at..))];
    let metadata = parquet_file::metadata(&verified)
        .map_err(|source| ShardError::NotParquet { path: path.clone(), source })?;
    if magic[0] != Some(b"PAR1") {
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
    let schema = metadata.metadata().file_metadata().schema_descr();
    let mut leaves =
        (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == root);
    let leaf = leaves.next().filter(|_| leaves.next().is_none());
    let (mut row_groups, mut start, mut first_row) = (Vec::new(), 0u64, 0);
    let (mut hasher, shared) = (Hasher::new(), Arc::new(verified.clone()));
    let mut lists = TokenLists::default();
    for (row_group, group) in metadata.metadata().row_groups().iter().enumerate() {
        let bad = |source| {
            let (path, column) = (path.clone(), column.to_owned());
            ShardError::BadRowGroup { path, row_group, column, source }
        };
        lists.clear();
        let fast = match leaf {
            None => Err(NotOurs::Layout),
            Some(leaf) => {
                let file = Arc::clone(&shared);
                parquet_file::guarded(|| Ok(fast::read(&file, group, leaf, &mut lists)))
                    .map_err(bad)?
            }
        };
        let max_id = match fast {
            Ok(max_id) if max_id < vocab_size => max_id,
            Err(NotOurs::Damaged(error)) => return Err(bad(error.into())),
            // The slower way, which also says where a token is that is out of range.
            Ok(_) | Err(NotOurs::Layout) => {
                lists.clear();
                let batches = parquet_file::row_group(
                    verified.clone(),
                    &metadata,
                    row_group,
                    &[root],
                    BATCH_ROWS,
                )
                .map_err(bad)?;
                let (mut max_id, mut row) = (0, first_row);
                for batch in &batches {
                    let place =
                        Place { path: &path, row_group, column, vocab_size, first_row: row };
                    max_id = max_id.max(decode::lists(&place, batch.column(0), &mut lists)?);
                    row += batch.num_rows() as u64;
                }
                max_id
            }
        };
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
