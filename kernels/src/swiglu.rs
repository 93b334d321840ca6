//! The gated activation of a Llama MLP (Shazeer 2020, arXiv:2002.05202).
//!
//! `m = silu(gate) · up` with `silu(z) = z σ(z)`.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, silu};
use rayon::prelude::*;

use crate::host::{exp, fits, give, hold, wide};

const BLOCK: usize = 1 << 14;

/// The input of the down projection.
///
/// # Shapes
///
/// - gate, up, output: `[tokens, intermediate]`
#[must_use]
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    if !fits(&gate) || !fits(&up) {
        return silu(gate) * up;
    }
    let (dims, device) = (gate.dims(), gate.device());
    let (gate, up) = (hold(gate), hold(up));
    let mut m = vec![0.0f32; gate.len()];
    let blocks = m.par_chunks_mut(BLOCK).zip(gate.par_chunks(BLOCK)).zip(up.par_chunks(BLOCK));
    blocks.for_each(|((m, gate), up)| {
        wide(
            #[inline(always)]
            || {
                for ((m, gate), up) in m.iter_mut().zip(gate).zip(up) {
                    *m = gate / (1.0 + exp(-gate)) * up;
                }
            },
        );
    });
    give(m, dims, &device)
}

/// The gradients of [`swiglu`] with respect to `gate` and `up`.
///
/// `dup = dm · silu(gate)` and `dgate = dm · up · σ (1 + gate (1 − σ))`.
///
/// # Shapes
///
/// - gate, up, dm, outputs: `[tokens, intermediate]`
#[must_use]
pub fn swiglu_backward(gate: Tensor<2>, up: Tensor<2>, dm: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    if !fits(&gate) || !fits(&up) || !fits(&dm) {
        let sigma = sigmoid(gate.clone());
        let dup = dm.clone() * gate.clone() * sigma.clone();
        let slope = sigma.clone() * (gate * (sigma.neg() + 1.0) + 1.0);
        return (dm * up * slope, dup);
    }
    let device = gate.device();
    let (mut gate, mut up, dm) = (hold(gate), hold(up), hold(dm));
    let blocks = gate.par_chunks_mut(BLOCK).zip(up.par_chunks_mut(BLOCK)).zip(dm.par_chunks(BLOCK));
    blocks.for_each(|((gate, up), dm)| {
        wide(
            #[inline(always)]
            || {
                for ((gate, up), dm) in gate.iter_mut().zip(up).zip(dm) {
                    let sigma = 1.0 / (1.0 + exp(-*gate));
                    let (z, u) = (*gate, *up);
                    *up = dm * z * sigma;
                    *gate = dm * u * sigma * (1.0 + z * (1.0 - sigma));
                }
            },
        );
    });
    (gate.tensor(&device), up.tensor(&device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, autodiff, random};

    #[test]
    fn agrees_with_its_definition_and_its_gradients_with_automatic_differentiation() {
        let (gate, up, dm) = (random([9, 33], 1) * 4.0, random([9, 33], 2), random([9, 33], 3));
        let m = swiglu(gate.clone(), up.clone());
        let (dgate, dup) = swiglu_backward(gate.clone(), up.clone(), dm.clone());

        let (gate, up) = (autodiff(gate), autodiff(up));
        let expected = silu(gate.clone()) * up.clone();
        let grads = (expected.clone() * Tensor::from_inner(dm)).sum().backward();
        assert_close(m, expected.inner(), 1e-6);
        assert_close(dgate, gate.grad(&grads).unwrap(), 1e-5);
        assert_close(dup, up.grad(&grads).unwrap(), 1e-5);
    }
}
