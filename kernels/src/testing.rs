//! What the tests of this crate share.

use burn::tensor::{Device, Tensor};

/// Values that look random and are the same everywhere: a hash of the index, in `[-1, 1)`.
pub(crate) fn random<const D: usize>(dims: [usize; D], seed: u64) -> Tensor<D> {
    let len: usize = dims.iter().product();
    let values = (0..len as u64)
        .map(|i| {
            let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed << 32);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z >> 40) as f32) / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    crate::host::give(values, dims, &Device::flex())
}

/// The same values on a device that records gradients.
pub(crate) fn autodiff<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    Tensor::from_inner(tensor).require_grad()
}

/// Panics with the place if two tensors differ by more than `tolerance` times the largest value.
pub(crate) fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (crate::host::take(found), crate::host::take(expected));
    let scale = expected.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (f - e).abs() <= tolerance * scale,
            "at {i}: expected {e}, found {f} (scale {scale})"
        );
    }
}
