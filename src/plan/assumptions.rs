//! What a plan takes for granted about the device.

use serde::Serialize;

/// What an H100 achieves on such models, some 40 % of its peak in bf16.
pub const DEFAULT_TFLOPS: f64 = 400.0;

/// The type of the weights and activations that are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Working {
    /// 16 bits, beside masters of 32.
    Bf16,
    /// 32 bits: the masters themselves.
    F32,
}

impl Working {
    /// Bytes of one number.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}

/// What a plan takes for granted about the device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Assumptions {
    /// 10¹² FLOPs a second that a device achieves, not the most it could.
    pub tflops: f64,
    /// Devices that share the work evenly.
    pub num_devices: u64,
    /// What is computed with.
    pub working: Working,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { tflops: DEFAULT_TFLOPS, num_devices: 1, working: Working::Bf16 }
    }
}

impl Assumptions {
    /// Seconds that so many FLOPs take.
    pub(super) fn seconds(&self, flops: f64) -> f64 {
        flops / (self.tflops * 1e12) / crate::units::float(self.num_devices.max(1))
    }
}
