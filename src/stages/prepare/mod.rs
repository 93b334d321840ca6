//! Text into token shards: read, tokenise, hold out a share by the hash of the content.
//!
//! A step is [`CHUNKS`] chunks of text; every leg of steps one shard of each kind is finished, which is the
//! checkpoint. A run that is asked to stop goes on to there, so that the shards are the same however often it was.
//!
//! [`read`] feeds, [`tokenise`] works, [`write`] folds. Before that, where duplicates are to be left out, [`survey`]
//! finds them; after it, [`adopt`] takes in what is tokens already, and [`report`] tells what there is.

mod adopt;
mod legs;
mod read;
pub mod report;
mod survey;
mod tokenise;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::grammar::Grammar;
use datasets::report::CorpusReport;
use datasets::shard::{Header, ShardEntry, write_manifest};
use datasets::store::{Digest, create_dir_all, write_atomic};
use datasets::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::context::Context;
use super::inputs::check_vocabulary;
use crate::error::Error;
use crate::recipe::Recipe;
use adopt::{TakenIn, adopt};
use legs::{in_legs, read_state};
use read::Corpora;
pub use read::spec;
use survey::survey;
use tokenise::Tokenising;
pub use tokenise::sample;
use write::Writing;

/// Its name.
pub const STAGE: &str = "prepare";
/// Chunks of text a step.
const CHUNKS: u32 = 4;
const STATE: &str = "shards.json";

/// Which samples a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Those that are trained on.
    Train,
    /// Those that are only evaluated on.
    HeldOut,
}

impl Kind {
    /// Its name in a folder of tokens.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Train => "train",
            Kind::HeldOut => "held-out",
        }
    }

    /// The folder of a source's shards.
    pub fn dir(self, run: &Path, source: &str) -> PathBuf {
        run.join("tokens").join(self.name()).join(source)
    }
}

/// The state of the stage: the shards that are finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shards {
    corpus: Digest,
    documents: u64,
    /// By source, in the order of the recipe.
    train: Vec<Vec<ShardEntry>>,
    held_out: Vec<Vec<ShardEntry>>,
    report: CorpusReport,
}

impl Shards {
    fn of(&mut self, kind: Kind, source: usize) -> &mut Vec<ShardEntry> {
        match kind {
            Kind::Train => &mut self.train[source],
            Kind::HeldOut => &mut self.held_out[source],
        }
    }
}

/// Makes the token shards, if they are not made.
///
/// # Errors
/// See [`Error`].
pub fn prepare(ctx: &Arc<Context>) -> Result<(), Error> {
    if ctx.run.seal(STAGE).is_some() {
        return Ok(());
    }
    let (run, recipe) = (&ctx.run.path, &ctx.run.recipe);
    let corpora = Arc::new(Corpora::open(run, recipe)?);
    let fingerprint = corpora.fingerprint()?;
    let (tokenizer, header) = tokenizer(run, recipe)?;
    for source in corpora.names() {
        create_dir_all(&Kind::Train.dir(run, source))?;
        create_dir_all(&Kind::HeldOut.dir(run, source))?;
    }
    let left_out = survey(ctx, &corpora, fingerprint)?;
    let none = Shards {
        corpus: fingerprint,
        documents: 0,
        train: vec![vec![]; corpora.names().count()],
        held_out: vec![vec![]; corpora.names().count()],
        report: CorpusReport::default(),
    };
    let shards = in_legs(
        ctx,
        STAGE,
        &corpora,
        none,
        |checkpoint| read_state(checkpoint, STATE, |shards: &Shards| shards.corpus, fingerprint),
        Tokenising::new(&tokenizer, &recipe.tokens, &left_out),
        |shards, checkpoints| Writing::new(ctx, &header, checkpoints, &corpora, shards),
    )?;
    finish(ctx, &header, &corpora, &shards)
}

/// Makes the shards data sets, and seals the stage.
fn finish(ctx: &Context, header: &Header, corpora: &Corpora, shards: &Shards) -> Result<(), Error> {
    let (run, recipe) = (&ctx.run.path, &ctx.run.recipe);
    let tokens = |entries: &[ShardEntry]| entries.iter().map(ShardEntry::num_tokens).sum::<u64>();
    let TakenIn { documents, mut train, mut held_out } = adopt(ctx, header)?;
    for (kind, all, sum) in
        [(Kind::Train, &shards.train, &mut train), (Kind::HeldOut, &shards.held_out, &mut held_out)]
    {
        for (name, entries) in corpora.names().zip(all) {
            // A source without a held-out document is not held out of; one with nothing to train on is an error later.
            if tokens(entries) > 0 {
                write_manifest(&kind.dir(run, name), header, entries)?;
                *sum += tokens(entries);
            }
        }
    }
    let empty = |what| Error::NoDocuments {
        what,
        num_documents: shards.documents,
        held_out: recipe.tokens.held_out,
    };
    if train == 0 {
        return Err(empty("left to train on"));
    }
    if held_out == 0 && !recipe.is_data_alone() {
        return Err(empty("held out"));
    }
    report::write(run, &shards.report)?;
    let documents = documents + shards.documents;
    ctx.progress
        .end(&format!("{documents} documents, {train} tokens to train on, {held_out} held out"));
    let result =
        json!({"documents": documents, "train_tokens": train, "held_out_tokens": held_out});
    ctx.run.write_seal(STAGE, result)?;
    Ok(())
}

/// The tokenizer's place: the recipe's, else the teacher's, else that of the generated stories.
pub fn tokenizer_path(run: &Path, recipe: &Recipe) -> PathBuf {
    match recipe.tokenizer() {
        Some(path) => PathBuf::from(path),
        None => run.join("tokenizer"),
    }
}

/// The tokenizer, checked against the teacher; what all shards have in common.
fn tokenizer(run: &Path, recipe: &Recipe) -> Result<(Tokenizer, Header), Error> {
    let path = tokenizer_path(run, recipe);
    if recipe.tokenizer().is_none() {
        let grammar = Grammar::new(recipe.seed);
        create_dir_all(&path)?;
        for (name, text) in [
            ("tokenizer.json", grammar.tokenizer_json()),
            ("tokenizer_config.json", grammar.tokenizer_config_json()),
        ] {
            write_atomic(&path.join(name), |file| file.write_all(text.as_bytes()))?;
        }
    }
    let tokenizer = Tokenizer::load(&path)?;
    if !recipe.is_data_alone() {
        let teacher = recipe.teacher_shape(tokenizer.vocab_size() as usize)?;
        check_vocabulary(&path, tokenizer.vocab_size(), teacher.vocab_size)?;
    }
    let header = Header {
        tokenizer: tokenizer.fingerprint(),
        vocab_size: tokenizer.vocab_size(),
        bos_id: tokenizer.bos_id(),
        eos_id: tokenizer.eos_id(),
    };
    Ok((tokenizer, header))
}
