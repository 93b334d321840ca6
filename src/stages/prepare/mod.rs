//! Text into token shards: read, tokenise, hold out a share by the hash of the content.
//!
//! A step is [`CHUNKS`] chunks of text; every [`LEG`] steps one shard of each kind is finished, which is the
//! checkpoint. A run that is asked to stop goes on to there, so that the shards are the same however often it was.
//!
//! [`read`] feeds, [`tokenise`] works, [`write`] folds.

mod read;
mod tokenise;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::Stop;
use datasets::grammar::Grammar;
use datasets::shard::{Header, ShardEntry, write_manifest};
use datasets::store::{Checkpoint, Digest, create_dir_all, sealed, write_atomic};
use datasets::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::context::Context;
use super::inputs::check_vocabulary;
use super::passes::{PassOver, pass_over};
use crate::error::Error;
use crate::recipe::Recipe;
pub use read::spec;
use read::{Corpora, Reading};
use tokenise::Tokenising;
pub use tokenise::sample;
use write::Writing;

/// Its name.
pub const STAGE: &str = "prepare";
/// Chunks of text a step.
const CHUNKS: u32 = 4;
/// Steps a shard.
const LEG: u64 = 16;
const STATE: &str = "shards.json";

/// Which samples a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Those that are trained on.
    Train,
    /// Those that are only evaluated on.
    HeldOut,
}

impl Kind {
    /// The folder of its shards.
    pub fn dir(self, run: &Path) -> PathBuf {
        run.join("tokens").join(match self {
            Kind::Train => "train",
            Kind::HeldOut => "held-out",
        })
    }
}

/// The state of the stage: the shards that are finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shards {
    corpus: Digest,
    documents: u64,
    train: Vec<ShardEntry>,
    held_out: Vec<ShardEntry>,
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
    for kind in [Kind::Train, Kind::HeldOut] {
        create_dir_all(&kind.dir(run))?;
    }
    let chunks = corpora.num_chunks();
    let steps = chunks.div_ceil(u64::from(CHUNKS));
    ctx.progress.begin(STAGE, "chunks", 0, chunks);
    let mut leg = 0;
    let checkpoint = loop {
        let end = ((leg + 1) * LEG).min(steps);
        let form = PassOver { stage: STAGE, steps: end, shards: CHUNKS, every: 0 };
        let (corpora, tokenizer, held_out) =
            (Arc::clone(&corpora), tokenizer.clone(), recipe.tokens.held_out);
        let feed = move |_| Reading { corpora: Arc::clone(&corpora) };
        let work = move |_| Tokenising { tokenizer: tokenizer.clone(), held_out };
        let fold = |checkpoint: Option<&Checkpoint>, checkpoints| {
            let shards = match checkpoint {
                Some(checkpoint) => resume(checkpoint, fingerprint)?,
                None => {
                    Shards { corpus: fingerprint, documents: 0, train: vec![], held_out: vec![] }
                }
            };
            Ok(Writing {
                ctx: Arc::clone(ctx),
                header: header.clone(),
                checkpoints,
                shards,
                train: None,
                held_out: None,
            })
        };
        let checkpoint = pass_over(ctx, form, feed, work, fold, &Stop::new())?;
        if checkpoint.step >= steps {
            break checkpoint;
        }
        leg = checkpoint.step / LEG;
        if ctx.stop.requested() {
            return Err(ctx.stopped(STAGE, checkpoint.step, steps));
        }
    };
    let shards = resume(&checkpoint, fingerprint)?;
    finish(ctx, &header, &shards)
}

/// Makes the shards data sets, and seals the stage.
fn finish(ctx: &Context, header: &Header, shards: &Shards) -> Result<(), Error> {
    let (run, recipe) = (&ctx.run.path, &ctx.run.recipe);
    let empty = |what| Error::NoDocuments {
        what,
        num_documents: shards.documents,
        held_out: recipe.tokens.held_out,
    };
    let tokens = |entries: &[ShardEntry]| entries.iter().map(ShardEntry::num_tokens).sum::<u64>();
    let (train, held_out) = (tokens(&shards.train), tokens(&shards.held_out));
    if train == 0 {
        return Err(empty("left to train on"));
    }
    if held_out == 0 {
        return Err(empty("held out"));
    }
    write_manifest(&Kind::Train.dir(run), header, &shards.train)?;
    write_manifest(&Kind::HeldOut.dir(run), header, &shards.held_out)?;
    let documents = shards.documents;
    ctx.progress
        .end(&format!("{documents} documents, {train} tokens to train on, {held_out} held out"));
    let result =
        json!({"documents": documents, "train_tokens": train, "held_out_tokens": held_out});
    ctx.run.write_seal(STAGE, result)?;
    Ok(())
}

fn resume(checkpoint: &Checkpoint, fingerprint: Digest) -> Result<Shards, Error> {
    let path = checkpoint.dir.join(STATE);
    let (shards, _) = sealed::read::<Shards>(&path)?;
    if shards.corpus != fingerprint {
        let (expected, found) = (shards.corpus, fingerprint);
        return Err(Error::InputChanged { what: "the text".to_owned(), expected, found });
    }
    Ok(shards)
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
    let teacher = recipe.teacher_shape(tokenizer.vocab_size() as usize)?;
    check_vocabulary(&path, tokenizer.vocab_size(), teacher.vocab_size)?;
    let header = Header {
        tokenizer: tokenizer.fingerprint(),
        vocab_size: tokenizer.vocab_size(),
        bos_id: tokenizer.bos_id(),
        eos_id: tokenizer.eos_id(),
    };
    Ok((tokenizer, header))
}
