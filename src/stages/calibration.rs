//! The sequences that importance is measured on.

use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::loader::Loader;

use super::context::Context;
use super::data::Data;
use super::train::feed::sequences;
use crate::distill::Batch;
use crate::recipe::Prune;

/// Reads the calibration sequences, a micro-batch a shard.
#[derive(Clone)]
pub struct Calibration {
    /// The tokens.
    loader: Arc<Loader>,
    /// Whether documents do not see one another.
    apart: bool,
    /// Sequences of a micro-batch.
    batch: u64,
    /// Sequences of all.
    end: u64,
    /// Micro-batches of a step.
    shards: u32,
}

impl Calibration {
    /// Of a run, so many micro-batches a step.
    pub fn of(ctx: &Context, data: &Data, prune: &Prune, shards: u32) -> Self {
        Self {
            loader: Arc::clone(&data.train),
            apart: ctx.run.recipe.tokens.document_mask,
            batch: prune.calibration_batch,
            end: prune.calibration_sequences,
            shards,
        }
    }
}

impl Feed for Calibration {
    /// None where the last step has fewer micro-batches.
    type Batch = Option<Batch>;

    fn feed(&mut self, at: At) -> Result<Option<Batch>, Failure> {
        let first = (at.step.0 * u64::from(self.shards) + u64::from(at.shard)) * self.batch;
        let last = (first + self.batch).min(self.end);
        let sequences = sequences(&self.loader, first..last).map_err(Failure::of)?;
        Ok((!sequences.is_empty()).then(|| Batch::new(&sequences, self.apart)))
    }
}
