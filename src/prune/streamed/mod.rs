//! Surgery from directory to directory: what [`surgery`](super::surgery) does to a model in memory, tensor by tensor.
//!
//! Every value is computed in f32 by the same arithmetic and is rounded once, where it is stored, so the files are those
//! of cutting in memory and saving, byte for byte, in each of the three types. (A NaN that is only copied keeps its
//! bits.) What is in memory is the plan, a band of rows, and as much of the teacher's file as went into that band.

mod rows;
mod tensor_cut;

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::plan::PrunePlan;
use crate::error::Error;
use crate::weights::{ModelDirectory, StoredTensor, StoredType, WeightsError, save_each};
use tensor_cut::{TensorCut, cuts};

/// Cuts the model in a directory to `plan`, and writes it to the new directory `dir`.
///
/// # Errors
///
/// [`Error::Plan`] if the plan does not fit the model; [`Error::Weights`] if `dir` exists, a tensor cannot be read, or
/// a file cannot be written.
pub fn cut_directory(
    teacher: &ModelDirectory,
    plan: &PrunePlan,
    dir: &Path,
    stored: StoredType,
    max_shard_bytes: u64,
    tokenizer: Option<&Path>,
) -> Result<(), Error> {
    plan.check(&teacher.config)?;
    let cuts = cuts(&teacher.config, plan);
    let dims: HashMap<String, Vec<usize>> = teacher.config.tensors().into_iter().collect();
    let read = |cut: &TensorCut<'_>| -> Result<StoredTensor<'_>, WeightsError> {
        teacher.stored(&cut.source, dims.get(&cut.source).map_or(&[], Vec::as_slice))
    };
    // Each is there and of its shape before the first byte is written.
    let tensors: Vec<StoredTensor<'_>> = cuts.iter().map(read).collect::<Result<_, _>>()?;
    let student = plan.student(&teacher.config);
    save_each(&student, dir, stored, max_shard_bytes, tokenizer, |i, file| {
        let (Some(cut), Some(tensor)) = (cuts.get(i), tensors.get(i)) else {
            return Err(io::Error::other(format!("the plan has no tensor {i}")));
        };
        cut.write(tensor, stored, file)
    })?;
    Ok(())
}
