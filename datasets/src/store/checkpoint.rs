//! Checkpoints: parts that lie aside, and a manifest whose rename commits them.
//!
//! ```text
//! <dir>/step-00000500/<part>…          written one by one, each atomically
//! <dir>/step-00000500/manifest.json    written last: its rename is the commit
//! ```
//!
//! The manifest is JSON ([`sealed`]): `version`, `step`, `incarnation` (which start of the run wrote it), `recipe`
//! (digest), `previous` (the step of the checkpoint before it, or null), `parts` (`name`, `bytes`, `digest` of each)
//! and `digest`. A directory without a manifest is not a checkpoint; several may be in the making at once.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Digest, StoreError, create_dir_all, digest_file, remove_dir_all, remove_file};
use super::{sealed, trial};

const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the directory of its step.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// A committed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its directory.
    pub dir: PathBuf,
    /// Its step: the state after all steps below it.
    pub step: u64,
    /// Which start of the run wrote it.
    pub incarnation: u64,
    /// The step of the checkpoint before it.
    pub previous: Option<u64>,
    /// Its files, in the order in which they were handed over.
    pub parts: Vec<Part>,
    /// The digest of its manifest.
    pub digest: Digest,
}

impl Checkpoint {
    /// The path of a part, if the checkpoint has it.
    pub fn part(&self, name: &str) -> Option<PathBuf> {
        self.parts.iter().find(|part| part.name == name).map(|part| self.dir.join(&part.name))
    }
}

/// What a search for the newest checkpoint found.
#[derive(Debug)]
pub struct Found {
    /// The newest checkpoint that is whole, if any is.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that were passed over, newest first, each with the reason.
    pub skipped: Vec<(PathBuf, StoreError)>,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u32,
    step: u64,
    incarnation: u64,
    recipe: Digest,
    previous: Option<u64>,
    parts: Vec<Part>,
}

/// The checkpoints of a stage. May be shared between threads.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    recipe: Digest,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Steps whose directories this process has begun.
    begun: BTreeSet<u64>,
    /// The newest whole checkpoint; the outer `None` until it has been looked for.
    newest: Option<Option<u64>>,
    /// Steps that hold a manifest and are not whole: they do not count as kept.
    unsound: BTreeSet<u64>,
}

impl Checkpoints {
    /// The checkpoints in `dir`, which is made if need be. Only those of `recipe` count.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be made.
    pub fn open(dir: &Path, recipe: Digest) -> Result<Self, StoreError> {
        create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), recipe, state: Mutex::default() })
    }

    /// The directory for the parts of a step. The first call of a process for a step clears what an earlier one
    /// left there, be it unfinished or damaged.
    ///
    /// # Errors
    /// [`StoreError::RecipeChanged`] if a checkpoint of another recipe lies there, [`StoreError::StaleStep`] if a
    /// whole one of this recipe does or a newer one, [`StoreError::Io`] otherwise.
    pub fn part_dir(&self, step: u64) -> Result<PathBuf, StoreError> {
        let mut state = self.state();
        let newest = self.newest_step(&mut state)?;
        self.refuse_stale(step, newest)?;
        let dir = self.step_dir(step);
        if !state.begun.contains(&step) {
            if let Err(changed @ StoreError::RecipeChanged { .. }) = self.load(&dir, step) {
                return Err(changed);
            }
            remove_file(&dir.join(MANIFEST)).or_else(absent_is_fine)?;
            remove_dir_all(&dir)?;
            create_dir_all(&dir)?;
            state.unsound.remove(&step);
            state.begun.insert(step);
        }
        Ok(dir)
    }

    /// Commits a step: writes the manifest of `parts`, all of which lie in [`part_dir`](Self::part_dir) already.
    ///
    /// # Errors
    /// [`StoreError::StaleStep`] if the newest checkpoint is not older; [`StoreError::PartName`],
    /// [`StoreError::PartMissing`] or [`StoreError::PartSize`] if a part is not as it says; [`StoreError::Io`].
    pub fn commit(
        &self,
        step: u64,
        incarnation: u64,
        parts: Vec<Part>,
    ) -> Result<Checkpoint, StoreError> {
        let dir = self.part_dir(step)?;
        let mut state = self.state();
        let previous = self.newest_step(&mut state)?;
        self.refuse_stale(step, previous)?;
        let mut names = BTreeSet::new();
        for part in &parts {
            if !is_file_name(&part.name) || !names.insert(&part.name) {
                return Err(StoreError::PartName { step, name: part.name.clone() });
            }
            check_size(&dir.join(&part.name), part.bytes)?;
        }
        trial::reached("staged");
        let recipe = self.recipe;
        let manifest = Manifest { version: VERSION, step, incarnation, recipe, previous, parts };
        let digest = sealed::write(&dir.join(MANIFEST), &manifest)?;
        trial::reached("committed");
        state.newest = Some(Some(step));
        Ok(Checkpoint { dir, step, incarnation, previous, parts: manifest.parts, digest })
    }

    /// Removes checkpoints that are older than the `keep` newest whole ones (the newest always stays), manifest
    /// first, and the directories of steps that were never committed and no longer can be. Returns what it removed.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the operating system refuses.
    pub fn collect(&self, keep: usize) -> Result<Vec<PathBuf>, StoreError> {
        let mut state = self.state();
        let Some(newest) = self.newest_step(&mut state)? else {
            return Ok(Vec::new());
        };
        let mut kept = 0;
        let mut removed = Vec::new();
        for (step, dir) in self.steps()?.into_iter().filter(|(step, _)| *step <= newest) {
            let manifest = dir.join(MANIFEST);
            if manifest.exists() {
                // A damaged one is evidence: it is neither counted nor removed.
                if state.unsound.contains(&step) {
                    continue;
                }
                kept += 1;
                if kept <= keep.max(1) {
                    continue;
                }
                remove_file(&manifest)?;
                trial::reached("collected");
            }
            remove_dir_all(&dir)?;
            removed.push(dir);
        }
        Ok(removed)
    }

    /// The newest checkpoint that is whole: its manifest matches its own digest and the recipe, and all its parts,
    /// read and hashed anew, match the manifest.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be listed. What is wrong with a checkpoint is no error here: it
    /// is passed over.
    pub fn newest(&self) -> Result<Found, StoreError> {
        let mut state = self.state();
        let found = self.search()?;
        state.newest = Some(found.checkpoint.as_ref().map(|checkpoint| checkpoint.step));
        state.unsound = found
            .skipped
            .iter()
            .filter_map(|(dir, _)| step_of(dir.file_name()?.to_str()?))
            .collect();
        Ok(found)
    }

    fn search(&self) -> Result<Found, StoreError> {
        let mut skipped = Vec::new();
        for (step, dir) in self.steps()? {
            if !dir.join(MANIFEST).exists() {
                continue;
            }
            match self.load(&dir, step).and_then(verified) {
                Ok(checkpoint) => {
                    return Ok(Found { checkpoint: Some(checkpoint), skipped });
                }
                Err(error) => skipped.push((dir, error)),
            }
        }
        Ok(Found { checkpoint: None, skipped })
    }

    /// Reads a manifest; the parts are not looked at.
    fn load(&self, dir: &Path, step: u64) -> Result<Checkpoint, StoreError> {
        let path = dir.join(MANIFEST);
        let (manifest, digest) = sealed::read::<Manifest>(&path)?;
        if manifest.version != VERSION {
            let found = manifest.version;
            return Err(StoreError::Version { path, expected: VERSION, found });
        }
        if manifest.step != step {
            return Err(StoreError::WrongStep { path, expected: step, found: manifest.step });
        }
        if manifest.recipe != self.recipe {
            let found = manifest.recipe;
            return Err(StoreError::RecipeChanged { path, expected: self.recipe, found });
        }
        let Manifest { incarnation, previous, parts, .. } = manifest;
        Ok(Checkpoint { dir: dir.to_owned(), step, incarnation, previous, parts, digest })
    }

    /// The directories of steps, newest first.
    fn steps(&self) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(StoreError::io(&self.dir, "list"))? {
            let entry = entry.map_err(StoreError::io(&self.dir, "list"))?;
            if let Some(step) = entry.file_name().to_str().and_then(step_of) {
                steps.push((step, entry.path()));
            }
        }
        steps.sort_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    fn newest_step(&self, state: &mut State) -> Result<Option<u64>, StoreError> {
        if let Some(newest) = state.newest {
            return Ok(newest);
        }
        let found = self.search()?;
        let newest = found.checkpoint.map(|checkpoint| checkpoint.step);
        state.unsound = found
            .skipped
            .iter()
            .filter_map(|(dir, _)| step_of(dir.file_name()?.to_str()?))
            .collect();
        state.newest = Some(newest);
        Ok(newest)
    }

    fn refuse_stale(&self, step: u64, newest: Option<u64>) -> Result<(), StoreError> {
        match newest {
            Some(newest) if step <= newest => {
                Err(StoreError::StaleStep { dir: self.dir.clone(), step, newest })
            }
            _ => Ok(()),
        }
    }

    fn step_dir(&self, step: u64) -> PathBuf {
        self.dir.join(format!("step-{step:08}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?;
    // One spelling a step, so that no two directories are the same step.
    digits.parse().ok().filter(|step| format!("{step:08}") == digits)
}

fn is_file_name(name: &str) -> bool {
    !name.starts_with('.')
        && !name.contains(['/', '\\', '\0'])
        && !name.is_empty()
        && name != MANIFEST
}

fn absent_is_fine(error: StoreError) -> Result<(), StoreError> {
    match error {
        StoreError::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(())
        }
        error => Err(error),
    }
}

fn check_size(path: &Path, expected: u64) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == expected => Ok(()),
        Ok(metadata) => {
            Err(StoreError::PartSize { path: path.to_owned(), expected, found: metadata.len() })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::PartMissing { path: path.to_owned() })
        }
        Err(e) => Err(StoreError::io(path, "read")(e)),
    }
}

/// Reads and hashes every part.
fn verified(checkpoint: Checkpoint) -> Result<Checkpoint, StoreError> {
    for part in &checkpoint.parts {
        let path = checkpoint.dir.join(&part.name);
        check_size(&path, part.bytes)?;
        let found = digest_file(&path)?;
        if found != part.digest {
            return Err(StoreError::PartDigest { path, expected: part.digest, found });
        }
    }
    Ok(checkpoint)
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
