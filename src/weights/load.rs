//! A model directory into a decoder.

use kernels::host::give;
use kernels::{DType, Device, Tensor};

use super::directory::ModelDirectory;
use super::error::WeightsError;
use crate::model::{Decoder, Parameters, Weight};

/// Reads every tensor, in f32, then casts to `dtype`.
///
/// A tied model may store its one matrix under either name. Tensors that the configuration does not call for
/// (old rotary tables, say) are left alone.
///
/// # Errors
///
/// See [`WeightsError`].
pub fn load(
    directory: &ModelDirectory,
    device: &Device,
    dtype: DType,
) -> Result<Decoder, WeightsError> {
    let config = directory.config.clone();
    let empty = Parameters::zeros(&config, device);
    let mut read = |name: &str, weight: Weight| {
        let dims = weight.stored_dims();
        let values = directory.read(name, &dims)?;
        Ok::<_, WeightsError>(
            match weight {
                Weight::Vector(_) => Weight::Vector(give(values, [dims[0]], device)),
                Weight::Table(_) => Weight::Table(give(values, [dims[0], dims[1]], device)),
                Weight::Matrix(_) => Weight::Matrix(transposed(values, dims[0], dims[1], device)),
            }
            .cast(dtype),
        )
    };
    let parameters = empty.map(&mut read)?;
    Ok(Decoder { config, parameters })
}

/// A stored `[out, in]` matrix as a contiguous `[in, out]` tensor.
fn transposed(values: Vec<f32>, outputs: usize, inputs: usize, device: &Device) -> Tensor<2> {
    let stored = give(values, [outputs, inputs], &Device::flex()).transpose();
    give(kernels::host::take(stored), [inputs, outputs], device)
}
