//! Takes in what DistillKit's `sample_logits` wrote: a folder of Parquet and `compression_config.yaml`.
//!
//! Of each sample: `input_ids`, and for each position `compressed_logprobs` and `bytepacked_indices`, as bytes. Position
//! `i` is the distribution of `input_ids[i + 1]`, as here. The bytes are decoded to floats by the configuration, sorted,
//! and stored anew. Two things that the files do not hold are taken for granted: whose logits they are, which the caller
//! says, and the mass of the tail, for which what the entries leave of one is taken; a cache that was captured is exact.
//!
//! Rows of the older layout (`packed_indices`, `exact_values`, `coeffs`) are refused.

mod bits;
mod config;
#[cfg(test)]
pub(super) mod pack;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt64Type};
use arrow_array::{Array, ListArray, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub use bits::decode;
pub use config::{Bin, DistillKit, Float, Term};

use super::{CacheWriter, Identity, LogitError, Profile, Scored, Sizes};
use crate::parquet_file;

/// What was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Samples.
    pub samples: u64,
    /// Tokens.
    pub tokens: u64,
    /// Samples that were there already, or that have no distribution.
    pub skipped: u64,
}

/// Takes the samples of a folder of DistillKit's into the cache at `into`, as the logits of `identity`.
///
/// Samples that the cache has are passed over, so an import that was interrupted goes on when it is repeated.
///
/// # Errors
/// [`LogitError::Import`] if the folder is not of that kind, or its bytes do not fit its configuration; what a
/// [`CacheWriter`] refuses.
pub fn import(
    from: &Path,
    into: &Path,
    identity: &Identity,
    profile: Profile,
    source: &str,
) -> Result<Imported, LogitError> {
    let config = DistillKit::read(&from.join("compression_config.yaml"))?;
    let mut writer = CacheWriter::with_sizes(into, identity, profile, Sizes::default())?;
    let cache = super::Cache::open(into, Some(identity))?;
    let mut done = Imported::default();
    let source = source.into();
    for path in parquet_files(from)? {
        each_batch(&path, |batch| {
            for row in 0..batch.num_rows() {
                let (tokens, values, indices) = columns(&path, batch, row)?;
                if cache.contains(identity.sample_id(&tokens)) || tokens.len() < 2 {
                    done.skipped += 1;
                    continue;
                }
                let bad = |what: String| LogitError::Import {
                    path: path.clone(),
                    what: format!("row {row}: {what}"),
                };
                let mut scored = Scored {
                    id: identity.sample_id(&tokens),
                    source: std::sync::Arc::clone(&source),
                    bounds: vec![0],
                    ids: Vec::new(),
                    log_probs: Vec::new(),
                    tail: Vec::new(),
                    label: Vec::new(),
                    log_z: Vec::new(),
                    drawn: Vec::new(),
                    tokens,
                };
                let (expected, found) = (scored.num_positions(), values.len().min(indices.len()));
                // Some writers have one position more, of what comes after the last token.
                if found != expected && found != expected + 1 {
                    return Err(bad(format!("it has {found} positions, expected {expected}")));
                }
                for (values, indices) in values.iter().zip(&indices).take(expected) {
                    let entries = decode(&config, values, indices).map_err(bad)?;
                    push(&mut scored, entries);
                }
                done.samples += 1;
                done.tokens += scored.tokens.len() as u64;
                writer.push(&scored)?;
            }
            Ok(())
        })?;
    }
    writer.commit()?;
    Ok(done)
}

/// Adds a position: sorted, no more than one in mass, and what is left of it as the tail.
#[expect(clippy::cast_possible_truncation, reason = "logarithms of single precision")]
fn push(scored: &mut Scored, mut entries: Vec<(u32, f32)>) {
    entries.retain(|(_, log_prob)| log_prob.is_finite());
    entries.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mass: f64 = entries.iter().map(|(_, log_prob)| f64::from(*log_prob).exp()).sum();
    // Their quantisation may add up to more than there is.
    let excess = mass.ln().max(0.0) as f32;
    for (id, log_prob) in entries {
        scored.ids.push(id);
        scored.log_probs.push(log_prob - excess);
    }
    scored.bounds.push(u32::try_from(scored.ids.len()).unwrap_or(u32::MAX));
    scored.tail.push((1.0 - mass).max(0.0).ln() as f32);
}

fn parquet_files(from: &Path) -> Result<Vec<PathBuf>, LogitError> {
    let bad = |what: String| LogitError::Import { path: from.to_owned(), what };
    let entries = fs::read_dir(from).map_err(|error| bad(error.to_string()))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    // `data_10` comes after `data_9`.
    let number = |path: &Path| {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let digits = |text: String| text.rsplit('_').next()?.parse::<u64>().ok();
        stem.and_then(digits).unwrap_or(u64::MAX)
    };
    paths.sort_by_key(|path| (number(path), path.clone()));
    if paths.is_empty() {
        return Err(bad("expected *.parquet in it, found none".to_owned()));
    }
    Ok(paths)
}

fn each_batch(
    path: &Path,
    mut f: impl FnMut(&RecordBatch) -> Result<(), LogitError>,
) -> Result<(), LogitError> {
    let bad = |error: parquet_file::ParquetFault| LogitError::Import {
        path: path.to_owned(),
        what: super::verify::chain(&error),
    };
    let (_, metadata) = parquet_file::open(path).map_err(bad)?;
    let file = File::open(path).map_err(|error| bad(error.into()))?;
    let mut reader = parquet_file::guarded(|| {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        Ok(builder.with_batch_size(64).build()?)
    })
    .map_err(bad)?;
    while let Some(batch) = parquet_file::guarded(|| Ok(reader.next().transpose()?)).map_err(bad)? {
        f(&batch)?;
    }
    Ok(())
}

type Bytes = Vec<Vec<u8>>;

/// The tokens, values and indices of a row.
fn columns(
    path: &Path,
    batch: &RecordBatch,
    row: usize,
) -> Result<(Vec<u32>, Bytes, Bytes), LogitError> {
    let bad = |what: String| LogitError::Import { path: path.to_owned(), what };
    let list = |name: &str| {
        let names: Vec<_> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
        let array = batch.column_by_name(name).and_then(|array| array.as_list_opt::<i32>());
        let array = array.filter(|array: &&ListArray| array.is_valid(row));
        array.map(|array| array.value(row)).ok_or_else(|| {
            bad(format!("expected lists `{name}`, found the columns {}", names.join(", ")))
        })
    };
    let ids = list("input_ids")?;
    let ids = ids.as_primitive_opt::<UInt64Type>().map(|ids| ids.values().to_vec());
    let ids = ids.ok_or_else(|| bad("`input_ids` is not a list of uint64".to_owned()))?;
    let tokens: Result<Vec<u32>, _> = ids.into_iter().map(u32::try_from).collect();
    let tokens = tokens.map_err(|_| bad(format!("row {row}: a token has more than 32 bits")))?;
    let bytes = |name: &str| {
        let rows = list(name)?;
        let rows = rows.as_list_opt::<i32>().ok_or_else(|| bad(format!("`{name}` is flat")))?;
        (0..rows.len())
            .map(|n| {
                let bytes = rows.value(n);
                let bytes = bytes.as_primitive_opt::<UInt8Type>().map(|b| b.values().to_vec());
                bytes.ok_or_else(|| bad(format!("`{name}` is not a list of lists of uint8")))
            })
            .collect::<Result<Bytes, _>>()
    };
    Ok((tokens, bytes("compressed_logprobs")?, bytes("bytepacked_indices")?))
}
