//! Llama-family decoders as values, with Hugging Face's names.
//!
//! [`config`] is the shape, [`parameters`] the tensors, [`layer`] and [`decoder`] the forward and backward
//! passes. The gradients are written out by hand, layer by layer: a layer can then forget its activations
//! and compute them again, any device runs the same code, and the tests compare it with automatic
//! differentiation. Nothing here knows about pruning.

pub mod config;
pub mod decoder;
pub mod generate;
pub mod layer;
pub mod linear;
pub mod parameters;
pub mod rope;
mod tensors;

pub use config::ModelConfig;
pub use decoder::{Decoder, Recompute};
pub use layer::{Site, Tap};
pub use parameters::{Parameters, Weight};
