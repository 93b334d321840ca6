//! `stillflow export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::input::model_path;
use crate::error::Error;
use crate::prune::{PrunePlan, cut_directory};
use crate::recipe::ByteCount;
use crate::recipe::export::DEFAULT_MAX_SHARD_BYTES;
use crate::weights::{ModelDirectory, StoredType};

/// Write a model as a Hugging Face directory, in another type or in other shards.
#[derive(Debug, Args)]
#[command(after_help = "\
What is written loads in transformers, vLLM and llama.cpp's converter without a flag.

Example:
  stillflow export runs/quickstart student-bf16 --dtype bf16")]
pub(super) struct Export {
    /// A Hugging Face directory, or a run directory (of which the student is taken)
    model: PathBuf,
    /// The new directory
    to: PathBuf,
    /// The type of the weights [default: the model's]
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// The most bytes of one file of weights, such as 500MB
    #[arg(long, default_value_t = DEFAULT_MAX_SHARD_BYTES)]
    max_shard_bytes: ByteCount,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dtype {
    /// 32 bits
    F32,
    /// The upper half of an f32
    Bf16,
    /// IEEE half precision
    F16,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Error> {
        let path = model_path(&self.model)?;
        let directory = ModelDirectory::open(&path)?;
        let stored = match self.dtype {
            Some(Dtype::F32) => StoredType::F32,
            Some(Dtype::Bf16) => StoredType::Bf16,
            Some(Dtype::F16) => StoredType::F16,
            None => directory
                .dtype
                .as_deref()
                .and_then(StoredType::from_torch)
                .unwrap_or(StoredType::F32),
        };
        // A cut that keeps all of it, tensor by tensor.
        let plan = PrunePlan::whole(&directory.config);
        let limit = self.max_shard_bytes.get();
        cut_directory(&directory, &plan, &self.to, stored, limit, Some(&path))?;
        super::print(&format!("{}\n", self.to.display()));
        Ok(())
    }
}
