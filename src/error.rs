//! Whatever a command can fail with, and the one command that helps.

mod hint;

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

pub use hint::hint;

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
    /// Sequences out of them.
    #[error(transparent)]
    Loader(#[from] datasets::loader::LoadError),
    /// A checkpoint that was made on other data.
    #[error(transparent)]
    Cursor(#[from] datasets::loader::CursorMismatch),
    /// Object stores.
    #[error(transparent)]
    Storage(#[from] datasets::storage::StorageError),
    /// The collections of documents.
    #[error(transparent)]
    Documents(#[from] dataflows::corpus::CorpusError),
    /// A chart.
    #[error(transparent)]
    Chart(#[from] crate::chart::ChartError),
    /// A table of metrics or scores.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A cache of logits.
    #[error(transparent)]
    Logits(#[from] datasets::logits::LogitError),
    /// What a cache knows does not go with the losses.
    #[error(transparent)]
    Sparse(#[from] kernels::loss::SparseError),
    /// What is wanted and what is cached.
    #[error(transparent)]
    Ledger(#[from] dataflows::ledger::LedgerError),
    /// A cache that is not what it says; what is damaged was printed.
    #[error("the cache at `{}` is damaged: {damaged} findings", path.display())]
    DamagedCache {
        /// The cache.
        path: PathBuf,
        /// How many things.
        damaged: usize,
    },
    /// Samples that a cache should have.
    #[error(
        "{missing} of the {wanted} samples of the text are not in the cache at `{}`: {}",
        path.display(),
        by_source(sources)
    )]
    NotCached {
        /// The cache.
        path: PathBuf,
        /// How many are not there.
        missing: u64,
        /// Of how many.
        wanted: u64,
        /// The sources that miss some, and how many.
        sources: Vec<(String, u64)>,
    },
    /// A sample that the teacher cannot read as a whole.
    #[error("a sample of `{source_name}` has {found} tokens, the teacher's context is {limit}")]
    TooLong {
        /// The source.
        source_name: String,
        /// Its tokens.
        found: u32,
        /// The teacher's `max_position_embeddings`.
        limit: usize,
    },
    /// Durable files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Generated stories.
    #[error(transparent)]
    Grammar(#[from] datasets::grammar::GrammarError),
    /// Sums of importance.
    #[error(transparent)]
    Sums(#[from] crate::prune::sums::ImportanceError),
    /// Sums of what is lost with layers.
    #[error(transparent)]
    Depth(#[from] crate::prune::depth::at_rest::DepthError),
    /// Multiple-choice items.
    #[error(transparent)]
    Choice(#[from] crate::eval::choice::ChoiceError),
    /// A plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A search's budget.
    #[error(transparent)]
    NoneFits(#[from] crate::search::space::NoneFits),
    /// A checkpoint's state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The dataflow.
    #[error(transparent)]
    Dataflow(#[from] dataflows::RunError),
    /// No shards where they were looked for.
    #[error("there are no token shards in `{}`: no folder with a manifest.json", path.display())]
    NoShards {
        /// Where.
        path: PathBuf,
    },
    /// The peers of a measurement.
    #[error(transparent)]
    Peers(#[from] crate::bench::against::PeersError),
    /// Batches that did not arrive once each.
    #[error("of {expected} batches {found} arrived, or others in their place")]
    Lost {
        /// As many were sent.
        expected: u64,
        /// As many came.
        found: u64,
    },
    /// Processes that do not find one another.
    #[error("the processes did not meet")]
    Cluster {
        /// Why.
        source: dataflows::graphs::cluster::ClusterError,
    },
    /// A process of a measurement that failed.
    #[error("a process of the measurement failed: {reason}")]
    Process {
        /// How it ended.
        reason: String,
    },
    /// The processes of a run.
    #[error(transparent)]
    Hand(#[from] crate::stages::hands::HandError),
    /// Sources that end before a stage does.
    #[error("`{stage}` reads {needed} sequences, and the sources end after {found}")]
    TooFewSequences {
        /// The stage.
        stage: &'static str,
        /// Sequences that it reads.
        needed: u64,
        /// Sequences that there are.
        found: u64,
    },
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
    /// A path that should be a run directory.
    #[error("`{}` is not a run directory: it has no `recipe.toml`", path.display())]
    NoRun {
        /// The path.
        path: PathBuf,
    },
    /// A run of which the student was wanted, and that has none.
    #[error("the run in `{}` has no student yet", path.display())]
    NoStudent {
        /// The run directory.
        path: PathBuf,
    },
    /// An input that is not what it was when the run began.
    #[error("{what} changed since the run began: expected {}, found {}", content(*expected), content(*found))]
    InputChanged {
        /// The input.
        what: String,
        /// Its digest then.
        expected: Digest,
        /// Its digest now.
        found: Digest,
    },
    /// A corpus in which there is nothing to train on, or nothing to evaluate on.
    #[error(
        "no document is {what}: {num_documents} documents, of which a share of {held_out} is held out"
    )]
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
    #[error(
        "importance of layer {layer} at `{site}` is not finite: the teacher's activations overflow"
    )]
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
    #[error(
        "stopped in stage `{stage}` at step {step} of {steps}; everything up to there is sealed"
    )]
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

fn by_source(sources: &[(String, u64)]) -> String {
    let each: Vec<_> = sources.iter().map(|(name, n)| format!("{n} of `{name}`")).collect();
    each.join(", ")
}

/// A digest; the digest of 32 zeros stands for no file.
fn content(digest: Digest) -> String {
    if digest.as_bytes() == &[0; 32] { "no such file".into() } else { digest.to_string() }
}

impl Error {
    /// What turns the operating system's error into ours.
    pub fn io(
        path: impl Into<PathBuf>,
        operation: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, operation, source }
    }
}

/// An error as a person reads it: what, because of what, and what to do.
///
/// ```text
/// error: `model/model.safetensors` is not a whole safetensors file
///   cause: invalid header length
///
/// hint: copy or download it again …
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
