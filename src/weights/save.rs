//! A decoder into a Hugging Face directory.
//!
//! `config.json`, `generation_config.json`, `model.safetensors` or `model-0000k-of-0000n.safetensors` with
//! `model.safetensors.index.json`, and the tokenizer's files, copied from where the teacher has them. The
//! directory is made beside its place and renamed into it, so it is there whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use datasets::store;
use kernels::DType;
use kernels::host::take;
use serde_json::{Map, Value, json};

use super::error::WeightsError;
use super::safetensors_file::{self, Entry};
use super::stored::StoredType;
use crate::model::{Decoder, ModelConfig, Weight};

/// Files that belong to the tokenizer, copied verbatim where the source has them.
const TOKENIZER_FILES: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
];

/// Writes `decoder` to the new directory `dir`.
///
/// # Errors
///
/// If `dir` exists, or a file cannot be written or copied.
pub fn save(
    decoder: &Decoder,
    dir: &Path,
    stored: StoredType,
    max_shard_bytes: u64,
    tokenizer: Option<&Path>,
) -> Result<(), WeightsError> {
    let named = decoder.parameters.named();
    let mut bytes = Vec::new();
    save_each(&decoder.config, dir, stored, max_shard_bytes, tokenizer, |i, file| {
        bytes.clear();
        stored.encode(&stored_values(&named[i].1), &mut bytes);
        file.write_all(&bytes)
    })
}

/// Writes a model of this shape to the new directory `dir`; `fill` writes the bytes of each of its
/// [`tensors`](ModelConfig::tensors) in their order, by its index.
///
/// # Errors
///
/// If `dir` exists, or a file cannot be written or copied.
pub fn save_each(
    config: &ModelConfig,
    dir: &Path,
    stored: StoredType,
    max_shard_bytes: u64,
    tokenizer: Option<&Path>,
    fill: impl FnMut(usize, &mut dyn Write) -> io::Result<()>,
) -> Result<(), WeightsError> {
    if dir.exists() {
        return Err(WeightsError::Exists { path: dir.to_owned() });
    }
    let name = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = dir.with_file_name(format!("{name}.partial"));
    if aside.exists() {
        store::remove_dir_all(&aside)?;
    }
    store::create_dir_all(&aside)?;
    let json = config.to_json(stored.torch_name());
    write_json(&aside.join("config.json"), &json)?;
    write_json(&aside.join("generation_config.json"), &generation_config(&json))?;
    if let Some(source) = tokenizer {
        copy_tokenizer(source, &aside)?;
    }
    write_shards(config, &aside, stored, max_shard_bytes, fill)?;
    store::rename_dir(&aside, dir)?;
    Ok(())
}

fn write_json(path: &Path, object: &Map<String, Value>) -> Result<(), WeightsError> {
    store::write_atomic(path, |file| {
        serde_json::to_writer_pretty(&mut *file, object)?;
        file.write_all(b"\n")
    })?;
    Ok(())
}

fn generation_config(config: &Map<String, Value>) -> Map<String, Value> {
    let keys = ["bos_token_id", "eos_token_id", "pad_token_id"];
    let present = |key: &&str| config.get(*key).filter(|v| !v.is_null()).cloned();
    keys.iter().filter_map(|key| Some(((*key).to_owned(), present(key)?))).collect()
}

/// Copies the tokenizer's files from one directory to another; of a tokenizer that is a file of any name, that one, as
/// `tokenizer.json`.
///
/// # Errors
///
/// If one that is there cannot be copied.
pub fn copy_tokenizer(from: &Path, to: &Path) -> Result<(), WeightsError> {
    let files = match from.is_file() {
        true => vec![("tokenizer.json", from.to_owned())],
        false => TOKENIZER_FILES.iter().map(|name| (*name, from.join(name))).collect(),
    };
    for (name, path) in files {
        if path.is_file() {
            let bytes = fs::read(&path)
                .map_err(|source| WeightsError::Io { path: path.clone(), source })?;
            store::write_atomic(&to.join(name), |file| file.write_all(&bytes))?;
        }
    }
    Ok(())
}

fn write_shards(
    config: &ModelConfig,
    dir: &Path,
    stored: StoredType,
    max_shard_bytes: u64,
    mut fill: impl FnMut(usize, &mut dyn Write) -> io::Result<()>,
) -> Result<(), WeightsError> {
    let dtype = stored.safetensors_name();
    let entries: Vec<Entry> =
        config.tensors().into_iter().map(|(name, dims)| Entry { name, dtype, dims }).collect();
    let mut shards: Vec<std::ops::Range<usize>> = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, entry) in entries.iter().enumerate() {
        if i > start && bytes + entry.num_bytes() > max_shard_bytes {
            shards.push(start..i);
            (start, bytes) = (i, 0);
        }
        bytes += entry.num_bytes();
    }
    shards.push(start..entries.len());

    let mut map = Map::new();
    let count = shards.len();
    for (k, range) in shards.into_iter().enumerate() {
        let file = match count {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", k + 1),
        };
        let first = range.start;
        safetensors_file::write_each(&dir.join(&file), &entries[range.clone()], |i, file| {
            fill(first + i, file)
        })?;
        map.extend(entries[range].iter().map(|e| (e.name.clone(), json!(file))));
    }
    if count > 1 {
        let total: u64 = entries.iter().map(Entry::num_bytes).sum();
        let parameters: u64 = entries.iter().map(|e| e.dims.iter().product::<usize>() as u64).sum();
        let index = json!({
            "metadata": {"total_size": total, "total_parameters": parameters}, "weight_map": map,
        });
        if let Value::Object(index) = index {
            write_json(&dir.join("model.safetensors.index.json"), &index)?;
        }
    }
    Ok(())
}

/// A tensor's values in the order that Hugging Face's file has.
fn stored_values(weight: &Weight) -> Vec<f32> {
    match weight.clone() {
        Weight::Vector(t) => take(t.cast(DType::F32)),
        Weight::Table(t) => take(t.cast(DType::F32)),
        Weight::Matrix(t) => take(t.cast(DType::F32).transpose()),
    }
}
