//! Opens a shard: its length, its footer and the names of its rows are what was committed.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::LogitError;
use super::cache::Shard;
use super::group::Names;
use super::layout::{Dir, shard_path};
use super::log::{Added, RowNames};
use crate::parquet_file;
use crate::shard::{Folder, LocalFolder, ShardError, ShardFile};

/// Opens a shard and reads what its rows are called.
pub(super) fn open_shard(
    dir: &Dir,
    added: &Added,
) -> Result<(Shard, Names), (PathBuf, LogitError)> {
    let name = &added.shard.file;
    let Some(path) = shard_path(&dir.0, name) else {
        let error = ShardError::BadName { path: dir.0.clone(), name: name.clone() };
        return Err((dir.0.join(name), error.into()));
    };
    let fail = |error: ShardError| (path.clone(), LogitError::from(error));
    let opened = LocalFolder(dir.0.clone()).open(name);
    let opened = opened
        .map_err(|source| fail(ShardError::Io { path: path.clone(), operation: "open", source }))?;
    let file = ShardFile::new(opened, added.shard.clone()).map_err(fail)?;
    let names = names(&path, added).map_err(fail)?;
    Ok((Shard { added: added.clone(), file, path }, names))
}

/// What the rows of a shard are called: of all its columns these alone are read, and checked by their own hash.
fn names(path: &Path, added: &Added) -> Result<Names, ShardError> {
    let not_parquet = |source| ShardError::NotParquet { path: path.to_owned(), source };
    let (_, metadata) = parquet_file::open(path).map_err(not_parquet)?;
    let mut roots = Vec::new();
    for name in ["sample_id", "n_tokens", "source"] {
        roots.push(parquet_file::root(path, name, &metadata)?);
    }
    let mut names = Names::default();
    for row_group in 0..metadata.metadata().num_row_groups() {
        let file = File::open(path).map_err(|e| not_parquet(e.into()))?;
        let batches = parquet_file::row_group(file, &metadata, row_group, &roots, 1 << 16);
        let bad = |column: &str, source| {
            let (path, column) = (path.to_owned(), column.to_owned());
            ShardError::BadRowGroup { path, row_group, column, source }
        };
        for batch in batches.map_err(|source| bad("sample_id", source))? {
            names.append(&batch).map_err(|column| {
                let text = "it has another type than a cache's".to_owned();
                bad(column, parquet::errors::ParquetError::General(text).into())
            })?;
        }
    }
    let mut hash = RowNames::default();
    for (id, num_tokens) in names.ids.iter().zip(&names.num_tokens) {
        hash.push(*id, *num_tokens as usize);
    }
    let found = hash.checksum();
    if found != added.names {
        let (part, offset) = ("the columns of ids and lengths".to_owned(), 0);
        let (expected, found) = (added.names.to_string(), found.to_string());
        return Err(ShardError::Hash { path: path.to_owned(), part, offset, expected, found });
    }
    Ok(names)
}
