//! A Hugging Face model directory: `config.json`, and tensors by name in one safetensors file or many.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::{Map, Value};

use super::error::WeightsError;
use super::map::map;
use super::stored::{StoredTensor, StoredType};
use crate::model::ModelConfig;

/// Longer headers are refused by the format; what looks like one is another kind of file.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// An opened model directory; its shards are mapped, and nothing is copied until a tensor is asked for.
#[derive(Debug)]
pub struct ModelDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// What `config.json` says.
    pub config: ModelConfig,
    /// `torch_dtype`, or what version 5 of transformers calls `dtype`.
    pub dtype: Option<String>,
    shards: Vec<(PathBuf, Mmap)>,
    tensors: HashMap<String, usize>,
}

/// Reads a JSON object.
pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>, WeightsError> {
    let text =
        fs::read(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|source| WeightsError::Json { path: path.to_owned(), source })
}

/// Reads `config.json` alone; what `plan` needs.
///
/// # Errors
///
/// If the directory or the file is not there, or describes no model of ours.
pub fn read_config(dir: &Path) -> Result<(ModelConfig, Option<String>), WeightsError> {
    if !dir.is_dir() {
        return Err(WeightsError::NoDirectory { path: dir.to_owned() });
    }
    let path = dir.join("config.json");
    if !path.is_file() {
        return Err(WeightsError::NoFile { path: dir.to_owned(), file: "config.json".to_owned() });
    }
    let object = read_object(&path)?;
    let config = ModelConfig::from_json(&object)
        .map_err(|source| WeightsError::Config { path: path.clone(), source })?;
    let dtype = object.get("torch_dtype").or_else(|| object.get("dtype"));
    Ok((config, dtype.and_then(Value::as_str).map(str::to_owned)))
}

/// What is wrong with a shard that does not parse. Most often the end is missing, which has numbers to show.
fn damaged(path: &Path, bytes: &[u8], source: SafeTensorError) -> WeightsError {
    let (path, found) = (path.to_owned(), bytes.len() as u64);
    match length_by_header(bytes) {
        Some(expected) if expected > found => WeightsError::CutShort { path, expected, found },
        _ => WeightsError::Damaged { path, source },
    }
}

/// The length of a safetensors file by its header, or of the header, if that is cut.
fn length_by_header(bytes: &[u8]) -> Option<u64> {
    let header = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let begin = header.checked_add(8).filter(|_| header <= MAX_HEADER_BYTES)?;
    let Some(text) = bytes.get(8..usize::try_from(begin).ok()?) else { return Some(begin) };
    let tensors: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let ends = tensors.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    begin.checked_add(ends.max()?)
}

impl ModelDirectory {
    /// Opens a directory, and checks that its shards are there and whole, and hold every tensor in its shape.
    ///
    /// # Errors
    ///
    /// See [`WeightsError`].
    pub fn open(dir: &Path) -> Result<Self, WeightsError> {
        let (config, dtype) = read_config(dir)?;
        let (single, index) =
            (dir.join("model.safetensors"), dir.join("model.safetensors.index.json"));
        let files: Vec<PathBuf> = if single.is_file() {
            vec![single]
        } else if index.is_file() {
            let object = read_object(&index)?;
            let names = object.get("weight_map").and_then(Value::as_object);
            let mut names: Vec<&str> =
                names.into_iter().flat_map(Map::values).filter_map(Value::as_str).collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().map(|name| dir.join(name)).collect()
        } else {
            let file = "model.safetensors".to_owned();
            return Err(WeightsError::NoFile { path: dir.to_owned(), file });
        };
        let mut shards = Vec::new();
        let mut tensors = HashMap::new();
        for path in files {
            if !path.is_file() {
                return Err(WeightsError::NoShard { path });
            }
            let mapped =
                map(&path).map_err(|source| WeightsError::Io { path: path.clone(), source })?;
            let file = SafeTensors::deserialize(&mapped)
                .map_err(|source| damaged(&path, &mapped, source))?;
            for name in file.names() {
                tensors.insert(name.to_owned(), shards.len());
            }
            drop(file);
            shards.push((path, mapped));
        }
        let directory = Self { path: dir.to_owned(), config, dtype, shards, tensors };
        for (name, dims) in directory.config.tensors() {
            directory.stored(&name, &dims)?;
        }
        Ok(directory)
    }

    /// The name that a tensor is stored under: a tied model may store its one matrix under either.
    fn stored_name<'a>(&self, name: &'a str) -> &'a str {
        const EMBEDDING: &str = "model.embed_tokens.weight";
        let is_head =
            name == EMBEDDING && self.config.tie_word_embeddings && !self.contains(EMBEDDING);
        if is_head { "lm_head.weight" } else { name }
    }

    /// Whether a shard holds a tensor of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor's values, row-major as the file has them, in f32.
    ///
    /// # Errors
    ///
    /// As [`stored`](Self::stored).
    pub fn read(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.stored(name, expected)?;
        Ok(tensor.dtype.decode(tensor.bytes))
    }

    /// A tensor of f32, f16 or bf16 in this shape, as its file has it; under either name, if it is the matrix of a tied
    /// model.
    ///
    /// # Errors
    ///
    /// If it is missing, or of another shape or type.
    pub fn stored(&self, name: &str, expected: &[usize]) -> Result<StoredTensor<'_>, WeightsError> {
        let name = self.stored_name(name);
        let Some(&shard) = self.tensors.get(name) else {
            return Err(WeightsError::NoTensor { path: self.path.clone(), name: name.to_owned() });
        };
        let (path, mapped) = &self.shards[shard];
        let file =
            SafeTensors::deserialize(mapped).map_err(|source| damaged(path, mapped, source))?;
        let view = file.tensor(name).map_err(|source| damaged(path, mapped, source))?;
        if view.shape() != expected {
            return Err(WeightsError::Shape {
                path: path.clone(),
                name: name.to_owned(),
                expected: expected.to_vec(),
                found: view.shape().to_vec(),
            });
        }
        let Some(dtype) = StoredType::from_safetensors(view.dtype()) else {
            let found = format!("{:?}", view.dtype());
            return Err(WeightsError::Type { path: path.clone(), name: name.to_owned(), found });
        };
        Ok(StoredTensor { dtype, bytes: view.data(), mapped })
    }
}
