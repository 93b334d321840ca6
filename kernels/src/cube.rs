//! Tensors whose memory is a device's: handed to CubeCL kernels, which are CUDA's and wgpu's from one source.
//!
//! What [`host`](crate::host) is for the CPU. A kernel here stands for a chain of tensor operations that would each
//! pass over memory; those stay beside it as the reference. Sums go by a tree whose shape is that of the cube, never by
//! atomics, so a device gives the same bits every time.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::{CubeCount, CubeDim};

use crate::loss::NO_WORD;

/// Units of a cube that goes over a row.
pub(crate) const UNITS: u32 = 256;
/// Cubes in one dimension of a grid: wgpu has no more.
const CUBES: usize = 32_768;

/// In a tile, in the place of a word that was taken out: no logit is as small, and it is a number, which WGSL asks for.
pub(crate) const TAKEN: f32 = -3.0e38;
/// Bytes of a tile in f32, unless there are very many tokens.
const TILE_BYTES: usize = 128 << 20;

/// Words of a tile.
pub(crate) fn tile_words(tokens: usize, vocab: usize) -> usize {
    (TILE_BYTES / 4 / tokens.max(1)).clamp(1024, 16_384).min(vocab)
}

/// Whether the memory of `tensor` is such a device's.
pub(crate) fn holds(tensor: &Tensor<2>) -> bool {
    !crate::host::is_host(&tensor.device())
}

/// The buffer of a tensor, in rows.
///
/// # Panics
///
/// If it is no such device's, or to be differentiated.
pub(crate) fn raw(tensor: Tensor<2>) -> CubeTensor {
    let raw = tensor.try_into_primitive::<CubeBackend>();
    into_contiguous(raw.expect("a tensor of CUDA or wgpu, outside of automatic differentiation"))
}

/// That of a tensor of integers.
fn raw_ints(tensor: Tensor<2, Int>) -> CubeTensor {
    let raw = tensor.try_into_primitive::<CubeBackend>();
    into_contiguous(raw.expect("a tensor of CUDA or wgpu, outside of automatic differentiation"))
}

/// Ids on a device: `[rows, columns]`.
pub(crate) fn ids(values: Vec<u32>, dims: [usize; 2], device: &Device) -> CubeTensor {
    raw_ints(Tensor::from_data(TensorData::new(values, dims), (device, DType::U32)))
}

/// The labels of tokens on a device, `[tokens, 1]`: [`NO_WORD`] where nothing is predicted.
pub(crate) fn labels(labels: &[i64], device: &Device) -> CubeTensor {
    let ids_of = labels.iter().map(|label| u32::try_from(*label).unwrap_or(NO_WORD));
    ids(ids_of.collect(), [labels.len(), 1], device)
}

/// As a tensor again.
pub(crate) fn cooked(raw: CubeTensor) -> Tensor<2> {
    Tensor::from_primitive::<CubeBackend>(raw)
}

/// A cube a row; those after the last have nothing to do.
pub(crate) fn rows(count: usize) -> CubeCount {
    let across = count.clamp(1, CUBES);
    grid(across, count.div_ceil(across))
}

/// A unit a row, in cubes of `dim`.
pub(crate) fn units(count: usize, dim: CubeDim) -> CubeCount {
    rows(count.div_ceil(dim.num_elems() as usize))
}

fn grid(across: usize, down: usize) -> CubeCount {
    let of = |n: usize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
    CubeCount::Static(of(across), of(down), 1)
}

/// As many units as the device has in a cube, and no more than [`UNITS`]; a power of two.
pub(crate) fn cube_dim(of: &CubeTensor) -> CubeDim {
    let most = of.client.properties().hardware.max_cube_dim.0.min(UNITS);
    CubeDim::new_1d(1 << most.ilog2())
}
