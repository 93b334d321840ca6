//! The text of a recipe: its sources one after the other, in chunks.

use std::path::Path;
use std::sync::Arc;

use dataflows::roles::Feed;
use dataflows::{At, Failure};
use datasets::grammar::Grammar;
use datasets::store::{Digest, Hasher};
use datasets::text::{self, Corpus, CorpusSpec, Document};

use super::CHUNKS;
use crate::error::Error;
use crate::recipe::{Format, Recipe, Source, Split};

/// The sources of a recipe, one after the other.
pub(super) struct Corpora(Vec<(String, Corpus)>);

impl Corpora {
    /// Opens them, and writes those that are generated.
    pub(super) fn open(run: &Path, recipe: &Recipe) -> Result<Self, Error> {
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

    /// Chunks of all sources.
    pub(super) fn num_chunks(&self) -> u64 {
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

/// Reads the chunk of a place.
pub(super) struct Reading {
    pub(super) corpora: Arc<Corpora>,
}

impl Feed for Reading {
    type Batch = Vec<Document>;

    fn feed(&mut self, at: At) -> Result<Vec<Document>, Failure> {
        let index = at.step.0 * u64::from(CHUNKS) + u64::from(at.shard);
        self.corpora.chunk(index).map_err(Failure::of)
    }
}
