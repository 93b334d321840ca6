//! Text into token shards: read, tokenise, hold out a share by the hash of the content.
//!
//! A step is [`CHUNKS`] chunks of text; every [`LEG`] steps one shard of each kind is finished, which is the
//! checkpoint. A run that is asked to stop goes on to there, so that the shards are the same however often it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::roles::{Feed, Fold, Staging, Work};
use dataflows::{At, Failure, InProcess, Step, Stop};
use datasets::grammar::Grammar;
use datasets::shard::{Header, Sample, SampleId, ShardEntry, ShardWriter, write_manifest};
use datasets::store::{
    Checkpoint, Checkpoints, Digest, Hasher, create_dir_all, sealed, write_atomic,
};
use datasets::text::{self, Corpus, CorpusSpec, Document};
use datasets::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::commit::part;
use super::context::Context;
use super::passes::{PassOver, pass_over};
use crate::error::Error;
use crate::recipe::{Format, Recipe, Source, Split};

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
            let path = run.clone();
            return Err(Error::Stopped { path, stage: STAGE, step: checkpoint.step, steps });
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
    match recipe.tokens.tokenizer.as_ref().or(recipe.teacher.model.as_ref()) {
        Some(path) => PathBuf::from(path),
        None => run.join("tokenizer"),
    }
}

/// The tokenizer, checked against the teacher; what all shards have in common.
fn tokenizer(run: &Path, recipe: &Recipe) -> Result<(Tokenizer, Header), Error> {
    let path = tokenizer_path(run, recipe);
    if recipe.tokens.tokenizer.is_none() && recipe.teacher.model.is_none() {
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
    if tokenizer.vocab_size() as usize > teacher.vocab_size {
        let (expected, found) = (teacher.vocab_size, tokenizer.vocab_size());
        return Err(Error::Vocabulary { tokenizer: path, expected, found });
    }
    let header = Header {
        tokenizer: tokenizer.fingerprint(),
        vocab_size: tokenizer.vocab_size(),
        bos_id: tokenizer.bos_id(),
        eos_id: tokenizer.eos_id(),
    };
    Ok((tokenizer, header))
}

/// The sources of a recipe, one after the other.
struct Corpora(Vec<(String, Corpus)>);

impl Corpora {
    /// Opens them, and writes those that are generated.
    fn open(run: &Path, recipe: &Recipe) -> Result<Self, Error> {
        let mut corpora = Vec::new();
        for (name, source) in &recipe.data {
            let spec = match (&source.generate, &source.path) {
                (Some(_), _) => {
                    let dir = run.join("corpus").join(name);
                    let stories = 0..source.num_stories.unwrap_or(0);
                    Grammar::new(recipe.seed).write_parquet(&dir, stories)?;
                    CorpusSpec::new(dir.to_string_lossy())
                }
                (None, path) => spec(path.clone().unwrap_or_default(), source),
            };
            corpora.push((name.clone(), Corpus::open(&spec)?));
        }
        Ok(Self(corpora))
    }

    fn num_chunks(&self) -> u64 {
        self.0.iter().map(|(_, corpus)| corpus.num_chunks() as u64).sum()
    }

    /// The documents of a chunk, with the name of their source; none beyond the last.
    fn chunk(&self, mut index: u64) -> Result<Vec<Document>, Error> {
        for (name, corpus) in &self.0 {
            if index < corpus.num_chunks() as u64 {
                let mut documents = corpus.chunk(usize::try_from(index).unwrap_or(usize::MAX))?;
                for document in &mut documents {
                    document.source = Arc::from(format!("{name}/{}", document.source));
                }
                return Ok(documents);
            }
            index -= corpus.num_chunks() as u64;
        }
        Ok(Vec::new())
    }

    fn fingerprint(&self) -> Result<Digest, Error> {
        let mut hasher = Hasher::new();
        for (name, corpus) in &self.0 {
            hasher.update(name.as_bytes()).update(corpus.fingerprint()?.as_bytes());
        }
        Ok(hasher.digest())
    }
}

/// How a source is read.
pub fn spec(path: String, source: &Source) -> CorpusSpec {
    CorpusSpec {
        path,
        format: match source.format {
            Format::Auto => text::Format::Auto,
            Format::Txt => text::Format::Txt,
            Format::Jsonl => text::Format::Jsonl,
            Format::Parquet => text::Format::Parquet,
        },
        split: match &source.split {
            Split::BlankLine => text::Split::BlankLine,
            Split::Line => text::Split::Line,
            Split::File => text::Split::File,
            Split::Delimiter(text) => text::Split::Delimiter(text.clone()),
        },
        field: source.field.clone(),
    }
}

struct Reading {
    corpora: Arc<Corpora>,
}

impl Feed for Reading {
    type Batch = Vec<Document>;

    fn feed(&mut self, at: At) -> Result<Vec<Document>, Failure> {
        let index = at.step.0 * u64::from(CHUNKS) + u64::from(at.shard);
        self.corpora.chunk(index).map_err(Failure::of)
    }
}

struct Tokenising {
    tokenizer: Tokenizer,
    held_out: f64,
}

impl Work for Tokenising {
    type Batch = Vec<Document>;
    type Output = InProcess<Vec<(Kind, Sample)>>;

    fn work(&mut self, _: At, documents: Vec<Document>) -> Result<Self::Output, Failure> {
        let mut samples = Vec::with_capacity(documents.len());
        for Document { text, source, at } in documents {
            let tokens = self.tokenizer.encode(&text).map_err(|error| {
                Failure::of(Error::Malformed {
                    path: source.to_string().into(),
                    reason: format!("at {at}: {error}"),
                })
            })?;
            let id = SampleId::of_text(&text);
            let kind = if is_held_out(id, self.held_out) { Kind::HeldOut } else { Kind::Train };
            let num_bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
            samples.push((kind, Sample { id, source, tokens, num_bytes }));
        }
        samples.retain(|(_, sample)| !sample.tokens.is_empty());
        Ok(InProcess(samples))
    }
}

/// Whether the first 64 bits of the id, as a fraction, lie below `share`: the same for a document wherever it is.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn is_held_out(id: SampleId, share: f64) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) as f64) < share * 2f64.powi(64)
}

/// Writes the shards of a leg.
struct Writing {
    ctx: Arc<Context>,
    header: Header,
    checkpoints: Arc<Checkpoints>,
    shards: Shards,
    train: Option<ShardWriter>,
    held_out: Option<ShardWriter>,
}

impl Writing {
    fn push(&mut self, kind: Kind, sample: &Sample) -> Result<(), Error> {
        let (writer, finished) = match kind {
            Kind::Train => (&mut self.train, self.shards.train.len()),
            Kind::HeldOut => (&mut self.held_out, self.shards.held_out.len()),
        };
        let writer = match writer {
            Some(writer) => writer,
            None => {
                let path =
                    kind.dir(&self.ctx.run.path).join(format!("tokens-{finished:05}.parquet"));
                writer.insert(ShardWriter::new(&path, &self.header)?)
            }
        };
        writer.push(sample)?;
        Ok(())
    }
}

impl Fold for Writing {
    type Input = InProcess<Vec<(Kind, Sample)>>;

    fn fold(&mut self, at: At, InProcess(samples): Self::Input) -> Result<(), Failure> {
        for (kind, sample) in &samples {
            self.push(*kind, sample).map_err(Failure::of)?;
        }
        self.shards.documents += samples.len() as u64;
        let done = at.step.0 * u64::from(CHUNKS) + u64::from(at.shard) + 1;
        let documents = self.shards.documents;
        self.ctx.progress.at(done, || format!("{documents} documents"));
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let (train, held_out) = (self.train.take(), self.held_out.take());
        let (mut shards, checkpoints) = (self.shards.clone(), Arc::clone(&self.checkpoints));
        Box::new(move || {
            let write = || -> Result<_, Error> {
                if let Some(writer) = train {
                    shards.train.push(writer.finish()?);
                }
                if let Some(writer) = held_out {
                    shards.held_out.push(writer.finish()?);
                }
                let path = checkpoints.part_dir(step.0)?.join(STATE);
                sealed::write(&path, &shards)?;
                let bytes = std::fs::metadata(&path).map_err(Error::io(&path, "read"))?.len();
                let digest = datasets::store::digest_file(&path)?;
                Ok(datasets::store::Written { bytes, digest })
            };
            Ok(vec![part("fold", STATE, write().map_err(Failure::of)?)])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_asked_share_is_held_out_and_always_the_same_documents() {
        let held = |share: f64| {
            (0..2000).filter(|i| is_held_out(SampleId::of_text(&i.to_string()), share)).count()
        };
        assert_eq!((held(0.0), held(1.0)), (0, 2000));
        assert!((70..130).contains(&held(0.05)), "{}", held(0.05));
    }
}
