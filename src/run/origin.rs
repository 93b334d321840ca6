//! `origin.json`: with what a run was made, so that it can be told from another and made again.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::store::{Digest, digest_file, sealed};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// With what a run was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The program's version.
    pub version: String,
    /// The commit that it was built from, where that was known.
    pub revision: String,
    /// The device that the run began on.
    pub device: String,
    /// The type that weights and activations had there.
    pub dtype: String,
    /// The command.
    pub command: Vec<String>,
    /// The digest of each file that the teacher and the tokenizer are read from.
    pub inputs: BTreeMap<String, Digest>,
}

impl Origin {
    /// Makes it durable.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        sealed::write(path, self)?;
        Ok(())
    }

    /// What was written.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be read, or is damaged.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(sealed::read(path)?.0)
    }

    /// Refuses inputs that are not what they were.
    ///
    /// # Errors
    /// [`Error::InputChanged`] for the first file that differs.
    pub fn check_inputs(&self, now: &BTreeMap<String, Digest>) -> Result<(), Error> {
        let gone = Digest::from_bytes([0; 32]);
        for name in self.inputs.keys().chain(now.keys()) {
            let expected = *self.inputs.get(name).unwrap_or(&gone);
            let found = *now.get(name).unwrap_or(&gone);
            if expected != found {
                return Err(Error::InputChanged { what: format!("`{name}`"), expected, found });
            }
        }
        Ok(())
    }
}

/// Files that decide what a run makes, beside the tensors.
const READ: [&str; 4] =
    ["config.json", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"];

/// Adds the digests of the files in `dir` that a model or a tokenizer is read from.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read.
pub(super) fn digest_inputs(
    path: &Path,
    inputs: &mut BTreeMap<String, Digest>,
) -> Result<(), Error> {
    let mut files = vec![];
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(Error::io(path, "list"))? {
            files.push(entry.map_err(Error::io(path, "list"))?.path());
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if file.is_file() && (READ.contains(&&*name) || name.ends_with(".safetensors")) {
            let digest = digest_file(&file)?;
            inputs.insert(file.display().to_string(), digest);
        }
    }
    Ok(())
}
