//! The text of a recipe: its sources one after the other, in chunks.

use std::path::Path;
use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::grammar::Grammar;
use datasets::store::{Digest, Hasher};
use datasets::text::{self, Chunk, Corpus, CorpusSpec, Reader};

use super::CHUNKS;
use crate::error::Error;
use crate::recipe::{Format, Recipe, Source, Split};

/// The sources of text of a recipe, one after the other.
pub(super) struct Corpora(Vec<(String, Corpus)>);

/// The documents of a chunk, and the source that they are of.
pub(super) struct Documents {
    /// In the order of [`Corpora::names`].
    pub(super) source: usize,
    /// The chunk, among those of all sources.
    pub(super) chunk: u64,
    /// The documents, of a file whose name has the source's before it.
    pub(super) documents: Chunk,
}

impl Corpora {
    /// Opens them, and writes those that are generated.
    pub(super) fn open(run: &Path, recipe: &Recipe) -> Result<Self, Error> {
        let mut corpora = Vec::new();
        for (name, source) in recipe.data.iter().filter(|(_, source)| !source.is_tokens()) {
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

    /// The names of the sources.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Chunks of all sources.
    pub(super) fn num_chunks(&self) -> u64 {
        self.0.iter().map(|(_, corpus)| corpus.num_chunks() as u64).sum()
    }

    /// A digest by which the text is recognised; see [`Corpus::fingerprint`].
    pub(super) fn fingerprint(&self) -> Result<Digest, Error> {
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
            Format::Parquet | Format::Tokens => text::Format::Parquet,
        },
        split: match &source.split {
            Split::BlankLine => text::Split::BlankLine,
            Split::Line => text::Split::Line,
            Split::File => text::Split::File,
            Split::Delimiter(text) => text::Split::Delimiter(text.clone()),
        },
        field: source.field().to_owned(),
    }
}

/// Reads the chunk of a place.
pub(super) struct Reading {
    readers: Vec<(String, Reader)>,
}

impl Reading {
    pub(super) fn new(corpora: &Corpora) -> Self {
        let reader = |(name, corpus): &(String, Corpus)| (name.clone(), corpus.reader());
        Self { readers: corpora.0.iter().map(reader).collect() }
    }
}

impl Feed for Reading {
    /// None beyond the last chunk.
    type Batch = Option<Documents>;

    fn feed(&mut self, at: At) -> Result<Option<Documents>, Failure> {
        let chunk = at.step.0 * u64::from(CHUNKS) + u64::from(at.shard);
        let mut index = usize::try_from(chunk).unwrap_or(usize::MAX);
        for (source, (name, reader)) in self.readers.iter_mut().enumerate() {
            let chunks = reader.corpus().num_chunks();
            if index < chunks {
                let mut documents = reader.read(index).map_err(Failure::of)?;
                documents.source = Arc::from(format!("{name}/{}", documents.source));
                return Ok(Some(Documents { source, chunk, documents }));
            }
            index -= chunks;
        }
        Ok(None)
    }
}
