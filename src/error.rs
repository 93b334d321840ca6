//! Whatever a command can fail with, and the one command that helps.

use std::path::PathBuf;

use datasets::pack::PackError;
use datasets::shard::ShardError;
use datasets::store::{Digest, StoreError};
use datasets::table::TableError;
use datasets::text::TextError;
use datasets::tokenizer::TokenizerError;
use kernels::device::DeviceError;

use crate::distill::state::StateError;
use crate::prune::PlanError;
use crate::recipe::RecipeError;
use crate::weights::WeightsError;

/// A command's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A model directory.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Token shards.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A table of metrics or scores.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Durable files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Generated stories.
    #[error(transparent)]
    Grammar(#[from] datasets::grammar::GrammarError),
    /// Sums of importance.
    #[error(transparent)]
    Sums(#[from] crate::prune::importance::ImportanceError),
    /// A plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A checkpoint's state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The dataflow.
    #[error(transparent)]
    Dataflow(#[from] dataflows::RunError),
    /// Too little text for one sequence.
    #[error("the {which} text is too short")]
    Pack {
        /// `training` or `held-out`.
        which: &'static str,
        /// How much there is, and how much is needed.
        source: PackError,
    },
    /// Keys without which a recipe is only a plan.
    #[error("the recipe cannot run yet: {} not set", keys_are(keys))]
    Missing {
        /// The keys.
        keys: Vec<String>,
    },
    /// A run directory of another recipe.
    #[error("`{}` is the run of another recipe:\n    {}", path.display(), changes.join("\n    "))]
    OtherRecipe {
        /// The run directory.
        path: PathBuf,
        /// What differs, from its recipe to the one that was given.
        changes: Vec<String>,
    },
    /// A directory that holds something, and no recipe.
    #[error("`{}` is not a run directory: it holds `{found}`, and no `recipe.toml`", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// An input that is not what it was when the run began.
    #[error("{what} changed since the run began: expected {expected}, found {found}")]
    InputChanged {
        /// The input.
        what: String,
        /// Its digest then.
        expected: Digest,
        /// Its digest now.
        found: Digest,
    },
    /// A corpus in which there is nothing to train on, or nothing to evaluate on.
    #[error("no document is {what}: {num_documents} documents, of which a share of {held_out} is held out")]
    NoDocuments {
        /// `left to train on` or `held out`.
        what: &'static str,
        /// Documents of the corpus.
        num_documents: u64,
        /// `tokens.held_out`.
        held_out: f64,
    },
    /// A token that must begin or end documents, and that the tokenizer lacks.
    #[error("`tokens.{which} = \"always\"`, but the tokenizer `{}` has no {which} token", tokenizer.display())]
    NoSpecial {
        /// `bos` or `eos`.
        which: &'static str,
        /// The tokenizer.
        tokenizer: PathBuf,
    },
    /// A tokenizer with more ids than the model has embeddings.
    #[error("tokenizer `{}` has {found} ids, the model's `vocab_size` is {expected}", tokenizer.display())]
    Vocabulary {
        /// The tokenizer.
        tokenizer: PathBuf,
        /// The model's.
        expected: usize,
        /// The tokenizer's.
        found: u32,
    },
    /// Activations that are no numbers: nothing may be cut by them.
    #[error("importance of layer {layer} at `{site}` is not finite: the teacher's activations overflow")]
    Importance {
        /// The layer.
        layer: usize,
        /// Where in it.
        site: &'static str,
    },
    /// A stage that should have left a checkpoint, and none of them is whole.
    #[error("stage `{stage}` is finished, but `{}` has no whole checkpoint", path.display())]
    NoCheckpoint {
        /// The stage.
        stage: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file of ours that does not hold what it should.
    #[error("`{}`: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that could not be read or written.
    #[error("could not {operation} `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `write`.
        operation: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A run that was asked to stop, and has sealed what it had done.
    #[error("stopped in stage `{stage}` at step {step} of {steps}; everything up to there is sealed")]
    Stopped {
        /// The run directory.
        path: PathBuf,
        /// The stage.
        stage: &'static str,
        /// The step that it goes on at.
        step: u64,
        /// All of its steps.
        steps: u64,
    },
    /// A value on the command line that does not do.
    #[error("`{flag}`: expected {expected}, found {found}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        found: String,
    },
}

fn keys_are(keys: &[String]) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    format!("{} {}", names.join(", "), if keys.len() == 1 { "is" } else { "are" })
}

impl Error {
    /// What turns the operating system's error into ours.
    pub fn io(path: impl Into<PathBuf>, operation: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, operation, source }
    }

    /// One thing to do about it, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Recipe(error) => error.hint(),
            Self::Missing { keys } => {
                let sets: Vec<String> = keys.iter().map(|key| format!("--set {key}=…")).collect();
                Some(format!("add `{}`", sets.join(" ")))
            }
            Self::OtherRecipe { path, .. } => {
                let path = path.display();
                Some(format!("`stillflow run {path}` goes on with its own recipe; `--dir` names another directory"))
            }
            Self::NotARun { .. } => Some("`--dir` names a new directory, or that of a run".into()),
            Self::InputChanged { .. } => Some("put it back, or start anew with another `--dir`".into()),
            Self::NoDocuments { .. } => Some("`--set tokens.held_out=0.1` holds out a tenth".into()),
            Self::NoSpecial { which, .. } => Some(format!("`--set tokens.{which}=auto`")),
            Self::Pack { .. } => Some("`--set tokens.seq_tokens=…` makes sequences shorter; or give more text".into()),
            Self::Store(error) => store_hint(error),
            Self::Weights(error) => weights_hint(error),
            Self::Stopped { path, .. } => Some(format!("`stillflow run {}` goes on there", path.display())),
            Self::Device(_) => Some("`stillflow doctor` says which devices are here".into()),
            Self::Vocabulary { .. } => Some("`--set tokens.tokenizer=<directory>` names the model's own".into()),
            _ => None,
        }
    }
}

fn store_hint(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Locked { path, .. } => {
            let dir = path.parent().map(|p| p.display().to_string()).unwrap_or_default();
            Some(format!("`stillflow show {dir}` says how far that run is"))
        }
        StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Some("make room, then the same command goes on where it stopped".into())
        }
        _ => None,
    }
}

fn weights_hint(error: &WeightsError) -> Option<String> {
    match error {
        WeightsError::NoFile { path, file } if file == "config.json" => Some(format!(
            "a model is a Hugging Face directory with config.json, safetensors and a tokenizer; `ls {}`",
            path.display()
        )),
        WeightsError::Store(error) => store_hint(error),
        _ => None,
    }
}

/// The hint of an error somewhere in a chain of sources.
#[must_use]
pub fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let hint = error
            .downcast_ref::<Error>()
            .and_then(Error::hint)
            .or_else(|| error.downcast_ref::<StoreError>().and_then(store_hint))
            .or_else(|| error.downcast_ref::<RecipeError>().and_then(RecipeError::hint))
            .or_else(|| error.downcast_ref::<WeightsError>().and_then(weights_hint));
        if hint.is_some() {
            return hint;
        }
        next = error.source();
    }
    None
}

/// An error as a person reads it: what, because of what, and what to do.
///
/// ```text
/// error: `model/model.safetensors` is damaged
///   cause: invalid header length
///
/// hint: …
/// ```
#[must_use]
pub fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // A transparent error, or one that quotes its source, has said it already.
        if !said.contains(&cause_text) {
            text.push_str(&format!("\n  cause: {cause_text}"));
            said = cause_text;
        }
        next = cause.source();
    }
    if let Some(hint) = hint(error) {
        text.push_str(&format!("\n\nhint: {hint}"));
    }
    text
}
