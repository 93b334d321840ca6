//! How numbers are made: devices, losses, importance, fused operations, attention.
//!
//! This crate does no I/O, starts no thread of its own and reads no clock. Every operation has a path of
//! plain tensor operations, which any device runs, and a path of one pass over host memory, which the CPU
//! takes; the tests compare both with each other, with `f64` or with automatic differentiation.

pub mod adamw;
pub mod attention;
pub mod capture;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube;
pub mod device;
pub mod host;
pub mod importance;
pub mod loss;
pub mod rms_norm;
pub mod rope;
pub mod squares;
pub mod swiglu;
#[cfg(test)]
mod testing;

pub use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
