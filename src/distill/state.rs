//! What a checkpoint holds of a trainer: one safetensors file of f32 tensors in memory layout, under
//! `weight/<name>`, `first/<name>` and `second/<name>`, with Hugging Face's names.

use std::path::{Path, PathBuf};

use datasets::store::{StoreError, Written};
use kernels::host::{give, take};
use kernels::{DType, Device};

use super::trainer::{Settings, Trainer};
use crate::model::{Decoder, ModelConfig, Parameters, Weight};
use crate::weights::safetensors_file::{self, Entry};

/// The tensors of a trainer at a step: a cheap copy, which can be written while training goes on.
#[derive(Clone)]
pub struct TrainerState {
    weights: Vec<(String, Weight)>,
    moments: Vec<(Weight, Weight)>,
}

/// A part that was whole by its digest, and yet is not the state of this student.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is not the state of this student: {reason}", path.display())]
pub struct StateError {
    /// The part.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

impl Trainer {
    /// The state after the last update.
    #[must_use]
    pub fn state(&self) -> TrainerState {
        let weights = self.master.as_ref().unwrap_or(&self.student.parameters).named();
        TrainerState { weights, moments: self.moments.clone() }
    }

    /// A trainer that goes on from a written state.
    ///
    /// # Errors
    ///
    /// If the file is not the state of a student of this shape.
    pub fn resume(
        path: &Path,
        config: &ModelConfig,
        device: &Device,
        working: DType,
        settings: Settings,
    ) -> Result<Self, StateError> {
        let (student, moments) = read(path, config, device)?;
        Ok(Self::restore(student, moments, working, settings))
    }
}

/// The weights of a written state, and the moments of each.
///
/// # Errors
///
/// If the file is not the state of a student of this shape.
pub fn read(
    path: &Path,
    config: &ModelConfig,
    device: &Device,
) -> Result<(Decoder, Vec<(Weight, Weight)>), StateError> {
    let wrong = |reason: String| StateError { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    let read = |kind: &str, name: &str, like: &Weight| {
        let key = format!("{kind}/{name}");
        let view = file.tensor(&key).map_err(|e| wrong(format!("`{key}`: {e}")))?;
        let values = view.data().chunks_exact(4);
        let values: Vec<f32> =
            values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let expected: usize = like.stored_dims().iter().product();
        if values.len() != expected {
            return Err(wrong(format!(
                "`{key}`: expected {expected} values, found {}",
                values.len()
            )));
        }
        let values = std::cell::Cell::new(values);
        Ok(like.clone().apply(
            |t| give(values.take(), t.dims(), device),
            |t| give(values.take(), t.dims(), device),
        ))
    };
    let mut moments = Vec::new();
    let parameters = Parameters::zeros(config, device).map(&mut |name: &str, like: Weight| {
        moments.push((read("first", name, &like)?, read("second", name, &like)?));
        read("weight", name, &like)
    })?;
    Ok((Decoder { config: config.clone(), parameters }, moments))
}

impl TrainerState {
    /// Writes the state.
    ///
    /// # Errors
    ///
    /// If the file cannot be made durable.
    pub fn write(&self, path: &Path) -> Result<Written, StoreError> {
        let mut all: Vec<(String, &Weight)> = Vec::new();
        for ((name, weight), (first, second)) in self.weights.iter().zip(&self.moments) {
            all.push((format!("weight/{name}"), weight));
            all.push((format!("first/{name}"), first));
            all.push((format!("second/{name}"), second));
        }
        let entries: Vec<Entry> = all.iter().map(|(name, w)| entry(name, w)).collect();
        safetensors_file::write(path, &entries, |i| {
            let values = match all[i].1.clone() {
                Weight::Vector(t) => take(t.cast(DType::F32)),
                Weight::Table(t) | Weight::Matrix(t) => take(t.cast(DType::F32)),
            };
            bytemuck::allocation::cast_vec::<f32, u32>(values)
                .into_iter()
                .flat_map(u32::to_le_bytes)
                .collect()
        })
    }
}

fn entry(name: &str, weight: &Weight) -> Entry {
    let dims = match weight {
        Weight::Vector(t) => t.dims().to_vec(),
        Weight::Table(t) | Weight::Matrix(t) => t.dims().to_vec(),
    };
    Entry { name: name.to_owned(), dtype: "F32", dims }
}
