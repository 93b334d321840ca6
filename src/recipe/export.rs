//! `[export]`: how models are written.

use serde::{Deserialize, Serialize};

use super::byte_count::ByteCount;

/// Hugging Face's own default for one file of weights.
pub const DEFAULT_MAX_SHARD_BYTES: ByteCount = ByteCount::new(5_000_000_000);

/// The type of exported weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportDtype {
    /// The teacher's.
    #[default]
    Teacher,
    /// 32 bits.
    F32,
    /// The upper half of an f32.
    Bf16,
    /// IEEE half precision.
    F16,
}

/// How models are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// The type of the weights.
    pub dtype: ExportDtype,
    /// The most bytes of one file of weights.
    pub max_shard_bytes: ByteCount,
}

impl Default for Export {
    fn default() -> Self {
        Self { dtype: ExportDtype::default(), max_shard_bytes: DEFAULT_MAX_SHARD_BYTES }
    }
}
