//! Tensors whose memory is ours: on the CPU a tensor and a `Vec<f32>` are the same bytes.
//!
//! An elementwise chain written as tensor operations passes over memory once an operation. On the
//! CPU the kernels of this crate therefore take the buffer out, make one pass, and put it back; the
//! tensor operations stay beside them as the path of every other device, and as the reference.

use std::ops::{Deref, DerefMut};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Whether the tensors of `device` live in host memory.
#[must_use]
pub fn is_host(device: &Device) -> bool {
    *device == Device::flex()
}

/// Whether a kernel may take `tensor`'s buffer: host memory, in f32.
pub(crate) fn fits<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_host(&tensor.device())
}

/// The values of a tensor, without a copy where nobody else holds it.
///
/// # Panics
///
/// If the device fails; the process is then beyond saving.
#[must_use]
pub fn take<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32")
}

/// The memory of a tensor of f32 in a host's memory, to be read and written where it is.
///
/// Where `take` would copy: what `burn` allocates has another alignment than a `Vec` has.
pub(crate) struct Held(TensorData);

/// Takes it, without a copy where nobody else holds it.
pub(crate) fn hold<const D: usize>(tensor: Tensor<D>) -> Held {
    Held(tensor.into_data().convert::<f32>())
}

impl Held {
    /// As a tensor again.
    pub(crate) fn tensor<const D: usize>(self, device: &Device) -> Tensor<D> {
        Tensor::from_data(self.0, device)
    }
}

impl Deref for Held {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice().expect("converted to f32")
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.as_mut_slice().expect("converted to f32")
    }
}

/// The values of a tensor of integers.
///
/// # Panics
///
/// If the device fails; the process is then beyond saving.
#[must_use]
pub fn take_ints<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i64> {
    tensor.into_data().convert::<i64>().try_into_vec().expect("converted to i64")
}

/// A tensor of these values, without a copy on the CPU.
#[must_use]
pub fn give<const D: usize>(values: Vec<f32>, dims: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// `exp(x)` to about two units in the last place, in a form that compilers vectorise.
///
/// Cody and Waite's reduction `x = n ln 2 + r`, a polynomial in `r`, and `2^n` by its bits; below
/// -87 the result is zero.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let value = p * r * r + r + 1.0;
    // The integer part of `shifted`'s mantissa is n, plus a constant that the shift drops.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { value * scale }
}

/// `ln(x)` to about one unit in the last place, in a form that compilers vectorise; what is not a normal positive number
/// counts as the smallest that is.
///
/// `x = 2^k m` with `m` between √½ and √2, and the series of `ln m` in `s = (m − 1) / (m + 1)` as FreeBSD's `e_logf.c` has it.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let bits = x.max(f32::MIN_POSITIVE).to_bits().wrapping_sub(ROOT_HALF);
    let k = (bits.cast_signed() >> 23) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff) + ROOT_HALF) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let r = z * (0.666_666_6 + w * 0.284_987_87) + w * (0.400_009_72 + w * 0.242_790_79);
    let half = 0.5 * f * f;
    s * (half + r) + k * 9.058_001e-6 - half + f + k * 0.693_138_1
}

/// Runs `f`, compiled for the widest vectors that this processor has.
///
/// `f`, and what it calls, must be `#[inline(always)]`: what is not inlined here is compiled for any processor.
///
/// Nothing is fused and no sum changes its order, so the results are the same bits on every processor.
#[inline(always)]
pub(crate) fn wide<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Partial sums, which a processor takes side by side, in an order of their own.
pub(crate) const LANES: usize = 16;

/// `Σ f(x)`.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane += f(*x);
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += f(*x));
    lanes.iter().sum()
}

/// `Σ f(x, y)`.
#[inline(always)]
pub(crate) fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f(*x, *y);
        }
    }
    lanes.iter_mut().zip(x_rest).zip(y_rest).for_each(|((lane, x), y)| *lane += f(*x, *y));
    lanes.iter().sum()
}

/// The largest; not-a-numbers are passed over.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = larger(*lane, *x);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_library_over_its_whole_range() {
        for i in -87_000..=88_000 {
            let x = f32::from(i16::try_from(i / 8).unwrap()) / 125.0 + (i % 8) as f32 * 1e-4;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - exact).abs() <= 3e-7 * exact, "exp({x}) = {exact}, found {ours}");
        }
        assert!(exp(-1e30).abs() < f32::MIN_POSITIVE);
        assert!((exp(0.0) - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn ln_agrees_with_the_library_over_its_whole_range() {
        for bits in (f32::MIN_POSITIVE.to_bits()..f32::MAX.to_bits()).step_by(9_973) {
            let x = f32::from_bits(bits);
            let (ours, exact) = (f64::from(ln(x)), f64::from(x).ln());
            assert!(
                (ours - exact).abs() <= 1.5e-7 * exact.abs().max(0.1),
                "ln({x}) = {exact}, found {ours}"
            );
        }
        assert!(ln(0.0).is_finite() && ln(1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn a_buffer_survives_the_round_trip() {
        let device = Device::flex();
        let tensor = give(vec![1.0, 2.0, 3.0, 4.0], [2, 2], &device);
        assert_eq!(take(tensor.transpose()), [1.0, 3.0, 2.0, 4.0]);
    }
}
