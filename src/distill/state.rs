//! What a checkpoint holds of a trainer: one safetensors file of f32 tensors in memory layout, under
//! `weight/<name>`, `first/<name>` and `second/<name>`, with Hugging Face's names; likewise `hidden.projection`, and
//! `balance`, where there are any.

use std::path::{Path, PathBuf};

use datasets::store::{StoreError, Written};
use kernels::host::{give, take};
use kernels::{DType, Device, Tensor};

use super::balance::Balance;
use super::trainer::{Restored, Settings, Trainer};
use crate::model::{Decoder, ModelConfig, Parameters, Weight};
use crate::weights::safetensors_file::{self, Entry};

/// The tensors of a trainer at a step: a cheap copy, which can be written while training goes on.
#[derive(Clone)]
pub struct TrainerState {
    weights: Vec<(String, Weight)>,
    moments: Vec<(Weight, Weight)>,
    balance: Option<Weight>,
}

/// The name of the map between two widths.
const PROJECTION: &str = "hidden.projection";
/// The name of the weights that move.
const BALANCE: &str = "balance";

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
        let mut weights = self.master.as_ref().unwrap_or(&self.student.parameters).named();
        let projection = self.projection.clone().map(Weight::Matrix);
        weights.extend(projection.map(|projection| (PROJECTION.to_owned(), projection)));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "they were rounded when they were made"
        )]
        let balance = [self.balance.cross_entropy, self.balance.hidden].map(|x| x as f32);
        let balance = Balance::moves(&self.settings)
            .then(|| Weight::Vector(give(balance.to_vec(), [2], &self.student.device())));
        TrainerState { weights, moments: self.moments.clone(), balance }
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
        Ok(Self::restore(read_all(path, config, device, &settings)?, working, settings))
    }
}

/// The student's weights of a written state, and the moments of each.
///
/// # Errors
///
/// If the file is not the state of a student of this shape.
pub fn read(
    path: &Path,
    config: &ModelConfig,
    device: &Device,
) -> Result<(Decoder, Vec<(Weight, Weight)>), StateError> {
    read_file(path, config, device, None, false).map(|read| (read.student, read.moments))
}

/// All of a state that was written under these settings.
fn read_all(
    path: &Path,
    config: &ModelConfig,
    device: &Device,
    settings: &Settings,
) -> Result<Restored, StateError> {
    let projection = settings.hidden.as_ref().and_then(|hidden| hidden.projection);
    let mut read = read_file(path, config, device, projection, Balance::moves(settings))?;
    if !Balance::moves(settings) {
        read.balance = Balance::begin(settings);
    }
    Ok(read)
}

fn read_file(
    path: &Path,
    config: &ModelConfig,
    device: &Device,
    projection: Option<[usize; 2]>,
    with_balance: bool,
) -> Result<Restored, StateError> {
    let wrong = |reason: String| StateError { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    let at = |key: String, like: &Weight| {
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
    let read = |kind: &str, name: &str, like: &Weight| at(format!("{kind}/{name}"), like);
    let mut moments = Vec::new();
    let parameters = Parameters::zeros(config, device).map(&mut |name: &str, like: Weight| {
        moments.push((read("first", name, &like)?, read("second", name, &like)?));
        read("weight", name, &like)
    })?;
    let student = Decoder { config: config.clone(), parameters };
    let projection = match projection {
        Some(dims) => {
            let like = Weight::Matrix(Tensor::zeros(dims, (device, DType::F32)));
            moments.push((read("first", PROJECTION, &like)?, read("second", PROJECTION, &like)?));
            read("weight", PROJECTION, &like)?.matrix()
        }
        None => None,
    };
    let mut balance = Balance { cross_entropy: 1.0, hidden: 1.0 };
    if with_balance {
        let like = Weight::Vector(Tensor::zeros([2], (device, DType::F32)));
        if let Weight::Vector(values) = at(BALANCE.to_owned(), &like)? {
            let values = take(values);
            balance = Balance { cross_entropy: values[0].into(), hidden: values[1].into() };
        }
    }
    Ok(Restored { student, projection, moments, balance })
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
        all.extend(self.balance.as_ref().map(|balance| (BALANCE.to_owned(), balance)));
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
