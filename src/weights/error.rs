//! What can be wrong with a model directory.

use std::path::PathBuf;

use crate::model::config::ConfigError;

/// The thing, where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// There is no such directory.
    #[error("model directory `{}` does not exist", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A file that every model directory has is missing.
    #[error("model directory `{}` has no `{file}`", path.display())]
    NoFile {
        /// The directory.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// A shard that the index names is missing.
    #[error("shard `{}`, which `model.safetensors.index.json` names, does not exist", path.display())]
    NoShard {
        /// The shard.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("`{}` could not be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file does not parse.
    #[error("`{}` is not a JSON object", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// `config.json` describes no model of ours.
    #[error("`{}` does not describe a model that stillflow runs", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// A shard is shorter than its header says.
    #[error("`{}` ended early: expected {expected} bytes, found {found}", path.display())]
    CutShort {
        /// The shard.
        path: PathBuf,
        /// By its header.
        expected: u64,
        /// On disk.
        found: u64,
    },
    /// A shard does not parse.
    #[error("`{}` is not a whole safetensors file", path.display())]
    Damaged {
        /// The shard.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// A tensor that the configuration calls for is in no shard.
    #[error("tensor `{name}` is missing from `{}`", path.display())]
    NoTensor {
        /// The directory.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the configuration gives it.
    #[error("tensor `{name}` in `{}`: expected shape {expected:?}, found {found:?}", path.display())]
    Shape {
        /// The shard.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// By `config.json`.
        expected: Vec<usize>,
        /// In the shard.
        found: Vec<usize>,
    },
    /// A tensor has a type that weights do not have.
    #[error("tensor `{name}` in `{}`: expected f32, f16 or bf16, found {found}", path.display())]
    Type {
        /// The shard.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// In the shard.
        found: String,
    },
    /// The directory that an export was to make is already there.
    #[error("`{}` already exists", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be made durable.
    #[error("the model could not be written")]
    Store(#[from] datasets::store::StoreError),
}
