//! Written scores, read again: for pictures, and for their digest.

use std::path::Path;

use datasets::store::{StoreError, digest_bytes, digest_file};
use datasets::table::{Column, Table};

use super::axis::Axis;
use super::scores::Scores;

/// The axes that are scored, each in a file of its own.
pub const SCORED: [Axis; 3] = [Axis::HiddenSize, Axis::IntermediateSize, Axis::NumAttentionHeads];

/// Scores of one axis, layer by layer; those of the whole network as if of one layer. None if they are not there.
#[must_use]
pub fn read_scores(dir: &Path, axis: Axis) -> Option<Vec<Vec<f64>>> {
    let table = Table::read(&dir.join(format!("{}.parquet", axis.name()))).ok()?;
    let (Some(Column::U64(layers)), Some(Column::F64(scores))) =
        (table.column("layer"), table.column("score"))
    else {
        return None;
    };
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (layer, score) in layers.iter().zip(scores) {
        let layer = usize::try_from(*layer).ok()?;
        if layer >= rows.len() {
            rows.resize(layer + 1, Vec::new());
        }
        rows[layer].push(*score);
    }
    Some(rows)
}

/// The scores of every axis. None if one is not there.
#[must_use]
pub fn read_all(dir: &Path) -> Option<Scores> {
    Some(Scores {
        hidden: read_scores(dir, Axis::HiddenSize)?.into_iter().next()?,
        heads: read_scores(dir, Axis::NumAttentionHeads)?,
        neurons: read_scores(dir, Axis::IntermediateSize)?,
    })
}

/// The digest of the scores in a folder: of those of every axis.
///
/// # Errors
///
/// If a file cannot be read.
pub fn digest_scores(dir: &Path) -> Result<String, StoreError> {
    let mut text = String::new();
    for axis in SCORED {
        let digest = digest_file(&dir.join(format!("{}.parquet", axis.name())))?;
        text.push_str(&format!("{} {digest}\n", axis.name()));
    }
    Ok(digest_bytes(text.as_bytes()).to_string())
}
