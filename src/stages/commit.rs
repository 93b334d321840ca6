//! Makes the parts of a step a checkpoint, tells of it, and lets the old ones go.

use std::path::Path;
use std::sync::Arc;

use dataflows::roles::{Commit, Part};
use dataflows::{Failure, Step};
use datasets::store::{Checkpoint, Checkpoints, StoreError, Written, digest_file, sealed};
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use crate::error::Error;

/// What is done with a checkpoint that is committed.
pub type Then = Box<dyn FnMut(&Checkpoint) -> Result<(), Error> + Send>;

/// Commits the checkpoints of a stage.
pub struct Committing {
    /// Of the run.
    pub ctx: Arc<Context>,
    /// The stage.
    pub stage: &'static str,
    /// Where they lie.
    pub checkpoints: Arc<Checkpoints>,
    /// How many whole ones stay.
    pub keep: usize,
    /// What is done with each.
    pub then: Then,
}

impl Commit for Committing {
    fn commit(&mut self, step: Step, parts: Vec<Part>) -> Result<(), Failure> {
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        let parts: Result<Vec<_>, Failure> = parts.into_iter().map(stored).collect();
        let incarnation = self.ctx.run.events.incarnation();
        let checkpoint =
            self.checkpoints.commit(step.0, incarnation, parts?).map_err(Failure::of)?;
        self.ctx
            .run
            .events
            .push("sealed", json!({"stage": self.stage, "step": step.0, "bytes": bytes}));
        (self.then)(&checkpoint).map_err(Failure::of)?;
        self.checkpoints.collect(self.keep).map_err(Failure::of)?;
        Ok(())
    }
}

/// A part as the graph knows it.
pub fn part(stage: &str, name: &str, written: Written) -> Part {
    Part {
        stage: stage.to_owned(),
        name: name.to_owned(),
        bytes: written.bytes,
        digest: written.digest.to_string(),
    }
}

/// Writes a part that is a sealed file in `dir`.
///
/// # Errors
/// [`Error::Store`] or [`Error::Io`] if it cannot be written.
pub fn sealed_part(
    stage: &str,
    name: &str,
    dir: &Path,
    content: &impl Serialize,
) -> Result<Part, Error> {
    let path = dir.join(name);
    sealed::write(&path, content)?;
    let bytes = std::fs::metadata(&path).map_err(Error::io(&path, "read"))?.len();
    Ok(part(stage, name, Written { bytes, digest: digest_file(&path)? }))
}

/// A part as the store knows it.
fn stored(part: Part) -> Result<datasets::store::Part, Failure> {
    let digest = part.digest.parse().map_err(Failure::of)?;
    Ok(datasets::store::Part { name: part.name, bytes: part.bytes, digest })
}

/// Copies a durable file, durably.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Store`] if it cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let bytes = std::fs::read(from).map_err(Error::io(from, "read"))?;
    datasets::store::write_atomic(to, |file| file.write_all(&bytes))
        .map_err(|e: StoreError| Error::from(e))?;
    Ok(())
}
