//! Opening a run directory: a new one, or one to go on with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::store::{
    Checkpoint, Checkpoints, Digest, RunLock, create_dir_all, digest_bytes, digest_file,
    write_atomic,
};
use serde_json::{Value, json};

use super::absolute::with_absolute_paths;
use super::events::Events;
use super::origin::{Origin, digest_inputs};
use super::seal::Seal;
use crate::error::Error;
use crate::recipe::Recipe;

/// A run directory that this process works in.
#[derive(Debug)]
pub struct RunDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// The recipe, with absolute paths.
    pub recipe: Recipe,
    /// The digest of `recipe.toml`, which every seal and every checkpoint holds.
    pub digest: Digest,
    /// The log.
    pub events: Events,
    /// Held by the process that works here; none of its hands has it.
    _lock: Option<RunLock>,
}

impl RunDirectory {
    /// Begins a run of `recipe` in `path`, or goes on with it; `device` and `dtype` are noted in `origin.json`.
    ///
    /// # Errors
    /// [`Error::OtherRecipe`] if a run of another recipe lies there, [`Error::NotARun`] if something else does,
    /// [`Error::Missing`] if the recipe cannot run, [`Error::InputChanged`] if the teacher is not what it was,
    /// [`Error::Store`] if another process works there or a file cannot be written.
    pub fn open(path: &Path, recipe: Recipe, device: &str, dtype: &str) -> Result<Self, Error> {
        let keys = recipe.missing();
        if !keys.is_empty() {
            return Err(Error::Missing { keys });
        }
        let recipe = with_absolute_paths(recipe);
        let file = path.join("recipe.toml");
        if !file.exists() {
            refuse_foreign(path)?;
        }
        let inputs = inputs(&recipe)?;
        create_dir_all(path)?;
        let lock = RunLock::acquire(path)?;
        if file.exists() {
            let changes = Recipe::resolve(&file.to_string_lossy(), &[])?.diff(&recipe);
            if !changes.is_empty() {
                return Err(Error::OtherRecipe { path: path.to_owned(), changes });
            }
        } else {
            let text = recipe.to_toml();
            write_atomic(&file, |f| f.write_all(text.as_bytes()))?;
        }
        let text = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
        let origin = path.join("origin.json");
        if origin.exists() {
            Origin::read(&origin)?.check_inputs(&inputs)?;
        } else {
            Origin {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: env!("STILLFLOW_REVISION").to_owned(),
                device: device.to_owned(),
                dtype: dtype.to_owned(),
                command: std::env::args().collect(),
                inputs,
            }
            .write(&origin)?;
        }
        Self::take_up(path, recipe, &text, lock)
    }

    /// Begins a run inside of this one, or goes on with it: one that is handed its models and its tokens, and so has no
    /// inputs of its own.
    ///
    /// # Errors
    /// [`Error::Store`] if another process works there or a file cannot be written.
    pub fn within(&self, name: &str, recipe: Recipe) -> Result<Self, Error> {
        let path = self.path.join(name);
        create_dir_all(&path)?;
        let lock = RunLock::acquire(&path)?;
        let text = recipe.to_toml();
        // The outer run's recipe says what this one's is, and is not changed: nor is this.
        write_atomic(&path.join("recipe.toml"), |f| f.write_all(text.as_bytes()))?;
        Self::take_up(&path, recipe, text.as_bytes(), lock)
    }

    /// The run in `path`, for a process that helps the one that works there: it reads, and writes nothing; what it
    /// would log goes nowhere.
    ///
    /// # Errors
    /// [`Error::NoRun`] if there is none, [`Error::Recipe`] or [`Error::Io`] if its recipe cannot be read.
    pub fn of_another(path: &Path) -> Result<Self, Error> {
        let file = path.join("recipe.toml");
        if !file.exists() {
            return Err(Error::NoRun { path: path.to_owned() });
        }
        let recipe = Recipe::resolve(&file.to_string_lossy(), &[])?;
        let text = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
        let (digest, events) = (digest_bytes(&text), Events::nowhere());
        Ok(Self { path: path.to_owned(), recipe, digest, events, _lock: None })
    }

    fn take_up(path: &Path, recipe: Recipe, text: &[u8], lock: RunLock) -> Result<Self, Error> {
        for dir in ["stages", "checkpoints", "metrics", "timing", "eval", "models"] {
            create_dir_all(&path.join(dir))?;
        }
        let events = Events::open(&path.join("events.jsonl"))?;
        let (digest, lock) = (digest_bytes(text), Some(lock));
        Ok(Self { path: path.to_owned(), recipe, digest, events, _lock: lock })
    }

    /// The seal of a stage, if it is finished.
    pub fn seal(&self, stage: &str) -> Option<Seal> {
        Seal::read(&Seal::path(&self.path, stage), self.digest)
    }

    /// Whether no stage is left that needs what the others made.
    pub fn is_over(&self) -> bool {
        ["evaluate", "export"].iter().all(|last| self.seal(last).is_some())
    }

    /// Whether a stage is finished, and what it left at `steps` is still whole, as long as a later stage needs it:
    /// one that is sealed and whose last checkpoint was damaged since goes on from the checkpoint before.
    ///
    /// # Errors
    /// [`Error::Store`] if the checkpoints cannot be listed.
    pub fn is_done(&self, stage: &str, steps: u64) -> Result<bool, Error> {
        if self.seal(stage).is_none() {
            return Ok(false);
        }
        if self.is_over() {
            return Ok(true);
        }
        let checkpoints =
            Checkpoints::open(&self.path.join("checkpoints").join(stage), self.digest)?;
        Ok(checkpoints.newest()?.checkpoint.is_some_and(|newest| newest.step >= steps))
    }

    /// Seals a stage.
    ///
    /// # Errors
    /// [`Error::Store`] if the seal cannot be written.
    pub fn write_seal(&self, stage: &str, result: Value) -> Result<Seal, Error> {
        let seal = Seal { stage: stage.to_owned(), recipe: self.digest, result };
        seal.write(&Seal::path(&self.path, stage))?;
        self.events.push("finished", json!({"stage": stage}));
        Ok(seal)
    }

    /// The checkpoints of a stage, and the newest whole one. Those that are passed over are told of.
    ///
    /// # Errors
    /// [`Error::Store`] if the directory cannot be made or read.
    #[expect(clippy::print_stderr, reason = "whoever goes on from damage is told, progress or not")]
    pub fn checkpoints(&self, stage: &str) -> Result<(Checkpoints, Option<Checkpoint>), Error> {
        let dir = self.path.join("checkpoints").join(stage);
        let checkpoints = Checkpoints::open(&dir, self.digest)?;
        let found = checkpoints.newest()?;
        for (path, error) in &found.skipped {
            let goes_on = match &found.checkpoint {
                Some(checkpoint) => format!("going on from step {}", checkpoint.step),
                None => "beginning the stage anew".to_owned(),
            };
            eprintln!(
                "warning: checkpoint `{}` is passed over: {error}; {goes_on}",
                path.display()
            );
            let fields = json!({"stage": stage, "checkpoint": path.display().to_string(), "reason": error.to_string()});
            self.events.push("passed over", fields);
        }
        Ok((checkpoints, found.checkpoint))
    }

    /// The newest whole checkpoint of a stage that must have left one.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] if it did not; otherwise as [`checkpoints`](Self::checkpoints).
    pub fn newest_checkpoint(&self, stage: &str) -> Result<Checkpoint, Error> {
        self.checkpoints(stage)?.1.ok_or_else(|| self.no_checkpoint(stage))
    }

    /// That a stage left no whole checkpoint.
    pub fn no_checkpoint(&self, stage: &str) -> Error {
        let path = self.path.join("checkpoints").join(stage);
        Error::NoCheckpoint { stage: stage.to_owned(), path }
    }
}

/// Refuses a directory that holds other things than what a run that was killed at once leaves.
fn refuse_foreign(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    if !path.is_dir() {
        return Err(Error::NoRun { path: path.to_owned() });
    }
    for entry in std::fs::read_dir(path).map_err(Error::io(path, "list"))? {
        let name = entry.map_err(Error::io(path, "list"))?.file_name();
        let name = name.to_string_lossy();
        if name != "lock" && !name.starts_with('.') {
            return Err(Error::NotARun { path: path.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
}

fn inputs(recipe: &Recipe) -> Result<BTreeMap<String, Digest>, Error> {
    let mut inputs = BTreeMap::new();
    let prune = recipe.prune.as_ref();
    let cut = prune.and_then(|prune| prune.model.as_ref());
    let directories = [recipe.teacher.model.as_ref(), recipe.tokens.tokenizer.as_ref(), cut];
    for path in directories.into_iter().flatten() {
        digest_inputs(Path::new(path), &mut inputs)?;
    }
    let plan = prune.and_then(|prune| prune.plan.as_ref());
    for file in plan.into_iter().chain(recipe.items()) {
        inputs.insert(file.clone(), digest_file(Path::new(file))?);
    }
    Ok(inputs)
}
