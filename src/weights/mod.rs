//! Hugging Face directories in and out.
//!
//! | module | what |
//! |---|---|
//! | [`directory`] | a model directory: configuration, shards, tensors by name |
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

pub use directory::ModelDirectory;
pub use error::WeightsError;
pub use initial::initialise;
pub use load::load;
pub use save::{StoredType, save};
