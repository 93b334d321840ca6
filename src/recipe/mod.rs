//! A run as data: the serde structs are the file.
//!
//! A recipe is TOML, keyed tables, two levels deep. Every key has a documented default, so a recipe says only
//! what is particular to it; an unknown key is refused. A stage runs if its table is there.
//!
//! ```toml
//! schema = 1
//! description = "one line"
//! extends = "minitron-tiny"     # a built-in recipe or a path; its tables are merged with these, key by key
//! seed = 1
//!
//! [teacher]                     # exactly one of the two; neither where [pretrain] makes the teacher
//! model = "path/to/directory"   # a Hugging Face directory
//! config = "llama-3.1-8b"       # a shape alone, built in or a config.json: can be planned, not run
//!
//! [data.corpus]                 # one table a source, read in the order of their names
//! path = "corpus/*.txt"         # file, folder or glob; or: generate = "stories", num_stories = 6000
//! format = "auto"               # auto | txt | jsonl | parquet | tokens (shards; path may be s3://, gs://, az://, https://)
//! split = "blank_line"          # blank_line | line | file; any other text is itself the delimiter
//! field = "text"                # of JSON lines, or the Parquet column
//! weight = 0.7                  # share of the tokens, relative to the other sources; by their size, if none has one
//! epochs = 4                    # read so often and no more; for ever, if absent
//!
//! [mixture.anneal]              # from some number of tokens on, other weights
//! after = "80B"
//! corpus = 0.2
//!
//! [tokens]
//! tokenizer = "path"            # the teacher's, if absent
//! seq_tokens = 256
//! bos = "auto"                  # auto (if the tokenizer has one) | never | always; likewise eos
//! eos = "auto"
//! held_out = 0.05               # share of the documents that is only evaluated on, by hash of content
//! shuffle = "global"            # none | window | global
//! shuffle_window = "4M"         # tokens that are shuffled at once
//! packing = "concat"            # concat | best_fit
//! document_mask = false         # true: attention does not cross documents
//! max_document_tokens = 4096    # longer ones are as long_documents says: split | truncate
//! long_documents = "split"
//! dedup = "none"                # none | exact | near
//!
//! [pretrain]                    # the teacher's shape with Hugging Face's keys, and the keys of [distil]
//! hidden_size = 128
//!
//! [correct]                     # the teacher goes on being trained on this text before it teaches; the keys of [distil]
//! tokens = "100B"
//! learning_rate = 2e-5          # a fifth of the one it was trained with
//! warmup_steps = 120
//! parallel = false              # true: while it teaches, on the batches of [distil] and for as many steps
//!
//! [capture]                     # what the teacher thinks of every sample is kept: the K most probable words, the exact rest
//! dir = "logits"                # in the run directory, if absent; what is there already is not asked again
//! profile = "k32"               # k16 | k32 | k64 | exact | top-p | unbiased
//! batch_tokens = 4096           # tokens of a forward pass, of samples of about one length
//! shard_tokens = "2M"           # tokens that are committed together
//!
//! [prune]
//! hidden_size = "75%"           # a number, or a share of the teacher's rounded to a multiple of round_to
//! intermediate_size = 9216
//! num_attention_heads = 16      # a share is rounded to a multiple of num_key_value_heads
//! num_key_value_heads = 4       # divides the teacher's: neighbours become their mean
//! drop_layers = [15, 16]        # counted from 0; or: num_hidden_layers = 16, and which go is searched for
//! round_to = 8                  # 8 | 32 | 64 | 128 | 256, or any other: what the hardware's tiles are made for
//! head_add_back = "off"         # off | plus | minus: queries of heads that go, added to those of heads that stay
//! norm_compensation = false     # true: the norms' gains make up for the channels that go
//! model = "run/models/student"  # what is cut, if that is not the teacher: a student that becomes a still smaller one
//! importance_steps = 1          # 2 and more: importance is measured again of what is cut a part of the way
//! plan = "plan.toml"            # a plan of one's own in the place of scores and sizes, such as another run's, changed
//! calibration_sequences = 1024
//! calibration_batch = 4
//! score = "activation"          # activation | magnitude | activation_times_magnitude | random
//! sites = "nvidia"              # nvidia | paper: where activations are looked at
//! sequence_aggregation = "mean" # mean | l2 | variance, over the positions of a sequence
//! batch_aggregation = "l2"      # mean | l2 | variance, over the sequences
//! depth = "perplexity"          # perplexity | block_importance | logit_error | task: which layers go, with num_hidden_layers
//! depth_task = "items.jsonl"    # of depth = "task": {"context": "…", "choices": ["…", "…"], "answer": 0}, a line an item
//! depth_contiguous = true       # false: the layers that are least missed alone
//! importance = "run/scores/sums.parquet"  # what another run measured; measured anew, if absent
//!
//! [search]                      # the student's shape is searched for: of those listed the best within a budget
//! parameters = "2.1B..2.2B"     # likewise non_embedding_parameters, flops_per_token; weight_bytes and
//! kv_cache_bytes = "..1GiB"     # kv_cache_bytes in `dtype`, at `context_tokens`; prefill_ms and decode_ms as measured here
//! hidden_size = [3072, "62.5%"] # sizes that are tried, likewise of the other axes; [prune] has those of one size
//! num_hidden_layers = [32, 28, 24]
//! candidates = 16               # trained shortly, the best before training; after each rung the better half goes on
//! tokens = ["450M", "900M", "1.8B"]       # that each has learnt from at the end of a rung
//!
//! [distil]
//! steps = 500                   # or tokens = "94B"
//! global_batch_size = 16        # sequences a step
//! micro_batch_size = 8          # sequences a forward pass
//! learning_rate = 1e-4
//! min_learning_rate = 1e-5
//! warmup_steps = 40
//! weight_decay = 0.0
//! beta1 = 0.9
//! beta2 = 0.95
//! epsilon = 1e-8
//! clip_norm = 1.0
//! recompute = "block"           # block | none
//! checkpoint_every = 100
//! evaluate_every = 100
//! keep_checkpoints = 2
//!
//! [logits]                      # [distil] reads a cache, and no teacher is in memory until models are evaluated
//! dir = "logits"                # that of [capture], if absent
//! k = 16                        # entries of each position; all that are stored, if absent
//! rest = "ghost"                # ghost | renormalise | subset: what becomes of the words that are not among them
//! missing = "refuse"            # refuse | ask: the teacher, in memory then, about samples that are not there; they are added
//!
//! [losses.forward_kl]           # what [distil] minimises: any number of losses, each with its weight
//! weight = 1.0                  # 0: left out, and reported all the same
//! temperature = 1.0             # both logits are divided by this
//! temperature_squared = true    # false: the loss is not multiplied by temperature²
//!
//! [losses.cross_entropy]        # with the next token of the text
//! weight = 0.0
//! balance = "static"            # static | dynamic: the weight is multiplied by (divergences / this), of the step before
//!
//! [losses.reverse_kl]           # these have the keys of forward_kl, and are left out without their table:
//! [losses.jensen_shannon]
//! beta = 0.5                    # the teacher's share of the mixture
//! [losses.skew_forward_kl]      # teacher to a mixture with the student
//! alpha = 0.1                   # the teacher's share of the mixture
//! [losses.skew_reverse_kl]      # student to a mixture with the teacher
//! alpha = 0.1                   # the student's share of the mixture
//! [losses.total_variation]
//! [losses.adaptive_kl]          # forward KL where the student is off in the teacher's head, reverse KL in its tail
//! head_mass = 0.5
//! [losses.logit_mse]
//!
//! [losses.hidden]               # hidden states, after the norm that reads them; left out without its table
//! weight = 1.0
//! balance = "dynamic"           # static | dynamic
//! distance = "cosine"           # cosine | mse; where the widths differ, of a linear map of the student's that is learnt
//! layers = ["embedding", "last-2"]  # "embedding" | "last" | "last-N" in both | "29:13", the teacher's and the student's
//!
//! [control]                     # the student's shape from random weights, trained for the same steps
//! objective = "cross_entropy"   # cross_entropy | distillation: from the teacher, as the student does
//!
//! [then.quarter]                # the student is cut again and learns again, a table a size, in the order of their names
//! hidden_size = "50%"           # of the student's; the sizes of [prune], and steps or tokens
//! teacher = "first"             # first | previous: who teaches it
//!
//! [evaluate]
//! sequences = 64                # 0: none, where nothing is trained; a model that is only cut is then never in memory
//! batch = 8
//! choices = "items.jsonl"       # multiple choice as well, of lines as depth_task's: acc and acc_norm of each model
//!
//! [export]
//! dtype = "teacher"             # teacher | f32 | bf16 | f16
//! max_shard_bytes = "5GB"
//! ```
//!
//! [`Recipe::resolve`] reads one, merges what it extends and the `--set`s into it, and checks it;
//! [`Recipe::to_toml`] writes it with every default, which is what a run directory keeps.

mod byte_count;
pub mod capture;
mod check;
mod check_search;
mod check_train;
mod control;
pub mod data;
mod decimal;
mod described;
mod diff;
mod error;
pub mod evaluate;
mod explain;
pub mod export;
pub mod hidden;
pub mod logits;
pub mod losses;
mod merge;
pub mod mixture;
mod plan_file;
pub mod prune;
mod resolve;
pub mod search;
mod set;
mod size;
mod student;
mod suggest;
mod teacher;
pub mod then;
mod token_count;
pub mod tokens;
pub mod train;
mod window;

#[cfg(test)]
mod builtin_tests;
#[cfg(test)]
mod message_tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use byte_count::{ByteCount, NotAByteCount};
pub use capture::Capture;
pub use control::{Control, ControlObjective};
pub use data::{Format, Generator, Source, Split};
pub use described::{DESCRIBED, described};
pub use error::RecipeError;
pub use evaluate::Evaluate;
pub use export::{Export, ExportDtype};
pub use logits::{Logits, Missing};
pub use losses::Losses;
pub use mixture::Phase;
pub use plan_file::read_plan;
pub use prune::Prune;
pub use search::Search;
pub use size::{NotASize, Size};
pub use teacher::Teacher;
pub use then::{Then, Whose};
pub use token_count::{NotATokenCount, TokenCount};
pub use tokens::{AddToken, Dedup, LongDocuments, Packing, Shuffle, Tokens};
pub use train::{Correct, Pretrain, Train};
pub use window::{NotAWindow, Window};

/// The version of the file's keys that this program reads.
pub const SCHEMA: u32 = 1;
/// The seed, unless the recipe has one.
pub const DEFAULT_SEED: u64 = 1;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// [`SCHEMA`].
    pub schema: u32,
    /// One line for people.
    pub description: String,
    /// What it builds on; gone once resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Every random number is a function of this.
    pub seed: u64,
    /// Where the teacher comes from.
    pub teacher: Teacher,
    /// The sources of text, by name.
    pub data: BTreeMap<String, Source>,
    /// How text becomes sequences.
    pub tokens: Tokens,
    /// Weights of the sources that change while tokens are read, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mixture: BTreeMap<String, Phase>,
    /// Trains the teacher first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Pretrain>,
    /// The teacher goes on being trained before it teaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correct: Option<Correct>,
    /// Keeps what the teacher thinks of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Cuts the student out of the teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// Searches for the student's shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Trains the student on the teacher's outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distil: Option<Train>,
    /// Where the student learns from, if not from a teacher in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits: Option<Logits>,
    /// What distillation minimises.
    pub losses: Losses,
    /// Trains the same shape from random weights, to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// Still smaller students, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub then: BTreeMap<String, Then>,
    /// What evaluation reads.
    pub evaluate: Evaluate,
    /// How models are written.
    pub export: Export,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            description: String::new(),
            extends: None,
            seed: DEFAULT_SEED,
            teacher: Teacher::default(),
            data: BTreeMap::new(),
            tokens: Tokens::default(),
            mixture: BTreeMap::new(),
            pretrain: None,
            correct: None,
            capture: None,
            prune: None,
            search: None,
            distil: None,
            logits: None,
            losses: Losses::default(),
            control: None,
            then: BTreeMap::new(),
            evaluate: Evaluate::default(),
            export: Export::default(),
        }
    }
}

impl Recipe {
    /// The recipe with every default written out; [`Recipe::resolve`] of it gives an equal recipe.
    ///
    /// # Panics
    ///
    /// If a number was set by hand that TOML cannot hold, above `i64::MAX`. No file can say one.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is tables of numbers and strings")
    }

    /// Where the tokenizer is: where the recipe says, else with the teacher; nowhere if the text brings its own.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&str> {
        self.tokens.tokenizer.as_deref().or(self.teacher.model.as_deref())
    }

    /// The files of multiple-choice items that it names.
    pub fn items(&self) -> impl Iterator<Item = &String> {
        let prune = self.prune.as_ref().and_then(|prune| prune.depth_task.as_ref());
        prune.into_iter().chain(&self.evaluate.choices)
    }

    /// Whether nothing but text is asked for, made into token shards.
    #[must_use]
    pub fn is_data_alone(&self) -> bool {
        self.tokens.tokenizer.is_some()
            && self.teacher == Teacher::default()
            && self.pretrain.is_none()
            && self.correct.is_none()
            && self.capture.is_none()
            && self.prune.is_none()
            && self.distil.is_none()
    }

    /// How the teacher is trained before it teaches, if it is.
    #[must_use]
    pub fn correction_before(&self) -> Option<Train> {
        self.correct.as_ref().filter(|correct| !correct.parallel).map(Correct::train)
    }

    /// How the teacher is trained while it teaches, if it is: on the batches of `[distil]`.
    #[must_use]
    pub fn correction_beside(&self) -> Option<Train> {
        let (correct, distil) = (self.correct.as_ref()?, self.distil.as_ref()?);
        correct.parallel.then(|| Train {
            steps: distil.steps,
            tokens: distil.tokens,
            global_batch_size: distil.global_batch_size,
            micro_batch_size: distil.micro_batch_size,
            ..correct.train()
        })
    }

    /// Whether the teacher is another than one that was given.
    #[must_use]
    pub fn makes_teacher(&self) -> bool {
        self.pretrain.is_some() || self.correct.is_some()
    }

    /// The keys that must be set before the recipe can run; it can be planned without them.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.is_data_alone() && self.pretrain.is_none() && self.teacher.model.is_none() {
            missing.push("teacher.model".into());
        }
        if self.data.is_empty() {
            missing.push("data.corpus.path".into());
        }
        for (name, source) in &self.data {
            if source.path.is_none() && source.generate.is_none() {
                missing.push(format!("data.{name}.path"));
            }
        }
        let brings_words = |source: &Source| source.generate.is_some();
        let own_text = !self.data.is_empty() && !self.data.values().all(brings_words);
        if self.pretrain.is_some() && self.tokens.tokenizer.is_none() && own_text {
            missing.push("tokens.tokenizer".into());
        }
        missing
    }
}
