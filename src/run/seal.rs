//! `stages/<stage>.json`: the stage is finished, and is never done again.

use std::path::{Path, PathBuf};

use datasets::store::{Digest, sealed};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;

/// A finished stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seal {
    /// Its name.
    pub stage: String,
    /// The digest of the recipe it was done by.
    pub recipe: Digest,
    /// What later stages need to know of it, by name.
    pub result: Value,
}

impl Seal {
    /// Where the seal of a stage lies in a run directory.
    pub fn path(run: &Path, stage: &str) -> PathBuf {
        run.join("stages").join(format!("{stage}.json"))
    }

    /// Makes the seal durable.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        sealed::write(path, self)?;
        Ok(())
    }

    /// The seal, if there is a whole one of this recipe. One that is damaged is as good as none: the stage goes
    /// on from its newest checkpoint, and has little to do.
    pub fn read(path: &Path, recipe: Digest) -> Option<Self> {
        let (seal, _) = sealed::read::<Self>(path).ok()?;
        (seal.recipe == recipe).then_some(seal)
    }
}
