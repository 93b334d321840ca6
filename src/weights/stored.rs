//! The types that weights have in files, and a tensor as it lies in one.

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::map::forget;

/// The type that an export stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredType {
    /// `float32`.
    F32,
    /// `float16`.
    F16,
    /// `bfloat16`.
    Bf16,
}

impl StoredType {
    /// As `torch_dtype` has it.
    #[must_use]
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// From `torch_dtype`.
    #[must_use]
    pub fn from_torch(name: &str) -> Option<Self> {
        [Self::F32, Self::F16, Self::Bf16].into_iter().find(|t| t.torch_name() == name)
    }

    /// As a safetensors header has it.
    #[must_use]
    pub fn safetensors_name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// Of what a safetensors header has, if weights have it.
    pub(super) fn from_safetensors(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Bytes of a value.
    #[must_use]
    pub fn num_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Appends values, rounded to the nearest, ties to even.
    pub fn encode(self, values: &[f32], to: &mut Vec<u8>) {
        let start = to.len();
        to.resize(start + values.len() * self.num_bytes(), 0);
        let (wide, narrow) = (&mut to[start..], values);
        match self {
            Self::F32 => {
                let pieces = wide.as_chunks_mut::<4>().0;
                pieces.iter_mut().zip(narrow).for_each(|(to, x)| *to = x.to_le_bytes());
            }
            Self::F16 => {
                let pieces = wide.as_chunks_mut::<2>().0;
                pieces.iter_mut().zip(narrow).for_each(|(to, x)| {
                    *to = f16::from_f32(*x).to_le_bytes();
                });
            }
            Self::Bf16 => {
                let pieces = wide.as_chunks_mut::<2>().0;
                pieces.iter_mut().zip(narrow).for_each(|(to, x)| {
                    *to = bf16::from_f32(*x).to_le_bytes();
                });
            }
        }
    }

    /// Bytes into values; every value of the three types is one of f32.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => {
                bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
            Self::Bf16 => {
                bytes.as_chunks::<2>().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()
            }
        }
    }
}

/// A tensor as its file has it, row-major, in the memory that the file is mapped to.
#[derive(Clone, Copy, Debug)]
pub struct StoredTensor<'a> {
    /// The type of its values.
    pub dtype: StoredType,
    /// Its values.
    pub bytes: &'a [u8],
    /// The file that `bytes` are of.
    pub(super) mapped: &'a Mmap,
}

impl StoredTensor<'_> {
    /// Takes it out of this process's memory. What is read of it again is read from the file again.
    pub fn forget(&self) {
        let start = self.bytes.as_ptr().addr() - self.mapped.as_ptr().addr();
        forget(self.mapped, start, self.bytes.len());
    }
}
