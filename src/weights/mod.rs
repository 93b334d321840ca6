//! Hugging Face directories in and out.
//!
//! | module | what |
//! |---|---|
//! | [`directory`] | a model directory: configuration, shards, tensors by name |
//! | [`stored`] | the types of weights in files, a tensor as it lies in one |
//! | [`load`] | a directory into a [`crate::model::Decoder`] |
//! | [`save`] | a decoder into a directory that transformers, vLLM and llama.cpp's converter read |
//! | [`initial`] | random parameters, the same on every device |
//! | [`safetensors_file`] | one file, written tensor by tensor |

pub mod directory;
pub mod error;
pub mod initial;
pub mod load;
mod map;
pub mod safetensors_file;
pub mod save;
pub mod stored;

pub use directory::ModelDirectory;
pub use error::WeightsError;
pub use initial::initialise;
pub use load::load;
pub use save::{save, save_each};
pub use stored::{StoredTensor, StoredType};
