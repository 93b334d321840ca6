//! A corpus whose entropy is known: stories told by a probabilistic grammar.
//!
//! A story has a topic, a cast of two to four, and events. Sentences follow each other by a Markov chain of templates;
//! their slots are filled from distributions that depend on the words so far: Zipf's law in a ranking that is the
//! topic's own, nouns that go with the adjective before them, verbs that go with what the subject is, and mostly *the*
//! object that someone has, *the* place where the story is. So a model must look back to predict well, some of it far.
//!
//! **Every choice can be read off the text** (no two templates make the same sentence, no word belongs to two classes),
//! so the probability of a story is the product of its choices, and its logarithm is the best score that any model can
//! have on average: `-log_prob / num_tokens` of a corpus estimates the entropy of the source without any model, and a
//! model's loss minus it is exactly what there is left to learn.
//!
//! Text is words and full stops, separated by single spaces. [`Grammar::tokenizer_json`] has one token a word.

mod dist;
mod state;
mod templates;
mod words;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::parquet_file::ParquetFault;
use crate::random::stream;
use crate::store::{AtomicFile, StoreError, create_dir_all};
use dist::{Laws, pick};
use state::State;
use templates::{Slot, Token, literals, templates};
use words::{Word, Words, id};

/// How many stories a file, and a row group, hold.
const FILE_STORIES: u64 = 1 << 16;
const GROUP_STORIES: u64 = 1 << 11;

/// A story and its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// Words and full stops, separated by spaces.
    pub text: String,
    /// The natural logarithm of the probability that the grammar tells this story, its end included.
    pub log_prob: f64,
    /// How many tokens that is: words, full stops, and one for the end.
    pub num_tokens: u32,
}

/// An error of writing stories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// A file that cannot be stored.
    #[error("the stories in `{}` cannot be stored", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A file that cannot be written.
    #[error("could not write stories to `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetFault,
    },
}

/// A grammar. Its words and laws are functions of its seed.
#[derive(Debug)]
pub struct Grammar {
    seed: u64,
    words: Words,
    ids: std::collections::HashMap<String, Word>,
    laws: Laws,
    templates: Vec<Vec<Token>>,
}

impl Grammar {
    /// The grammar of a seed.
    pub fn new(seed: u64) -> Self {
        let words = Words::new(seed, &literals());
        let ids = words.list.iter().enumerate().map(|(n, word)| (word.clone(), id(n))).collect();
        let laws = Laws::new(seed, &words);
        Self { seed, words, ids, laws, templates: templates() }
    }

    /// The story of an index. Stories of different indices are independent draws.
    pub fn story(&self, index: u64) -> Story {
        let mut rng = stream(self.seed, "grammar story", 0, index);
        let mut state = State::default();
        let mut text = Vec::new();
        let mut log_prob = 0.0;
        loop {
            let next = state.templates();
            if next.is_empty() {
                break;
            }
            let (template, probability) = pick(next.into_iter().map(|t| (t, t.1)), &mut rng);
            log_prob += probability.ln();
            let mut filled: Vec<(Slot, Word)> = Vec::new();
            for token in &self.templates[template] {
                match token {
                    Token::Literal(word) => text.push(*word),
                    Token::Fill(slot) => {
                        let mixture = state.slot(*slot, &filled);
                        let word = self.laws.draw(&mixture, &mut rng);
                        log_prob += self.laws.probability(&mixture, word).ln();
                        text.push(&self.words.list[word as usize]);
                        filled.push((*slot, word));
                    }
                }
            }
            state = state.after(template, &filled);
        }
        let num_tokens = id(text.len()) + 1;
        Story { text: text.join(" "), log_prob, num_tokens }
    }

    /// The natural logarithm of the probability of a text, read from the text alone; `None` if the grammar never tells
    /// it.
    pub fn log_prob(&self, text: &str) -> Option<f64> {
        let mut state = State::default();
        let mut log_prob = 0.0;
        let words: Vec<&str> = text.split(' ').collect();
        for sentence in words.split_inclusive(|word| *word == ".") {
            // At most one template fits, so there is nothing to sum over.
            let (template, probability, filled) = state
                .templates()
                .into_iter()
                .find_map(|(t, p)| self.fit(&state, t, sentence).map(|(q, f)| (t, p * q, f)))?;
            if probability <= 0.0 {
                return None;
            }
            log_prob += probability.ln();
            state = state.after(template, &filled);
        }
        state.templates().is_empty().then_some(log_prob)
    }

    /// The probability that a template makes a sentence, and what then fills its slots.
    fn fit(
        &self,
        state: &State,
        template: usize,
        sentence: &[&str],
    ) -> Option<(f64, Vec<(Slot, Word)>)> {
        let tokens = &self.templates[template];
        if tokens.len() != sentence.len() {
            return None;
        }
        let mut filled = Vec::new();
        let mut probability = 1.0;
        for (token, text) in tokens.iter().zip(sentence) {
            match token {
                Token::Literal(word) if word == text => {}
                Token::Literal(_) => return None,
                Token::Fill(slot) => {
                    let word = *self.ids.get(*text)?;
                    probability *= self.laws.probability(&state.slot(*slot, &filled), word);
                    if probability <= 0.0 {
                        return None;
                    }
                    filled.push((*slot, word));
                }
            }
        }
        Some((probability, filled))
    }

    /// The tokens in the order of their ids: `<unk>`, `<s>`, `</s>`, then the words.
    pub fn vocabulary(&self) -> &[String] {
        &self.words.list
    }

    /// A `tokenizer.json` of one token a word, for Hugging Face's libraries.
    pub fn tokenizer_json(&self) -> String {
        let special = |id: usize| {
            serde_json::json!({
                "id": id, "content": self.words.list[id], "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        };
        let vocab: serde_json::Map<String, serde_json::Value> =
            self.words.list.iter().enumerate().map(|(n, word)| (word.clone(), n.into())).collect();
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(0), special(1), special(2)],
            "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
        });
        format!("{json:#}\n")
    }

    /// The `tokenizer_config.json` that belongs beside it: which tokens begin and end a story.
    pub fn tokenizer_config_json(&self) -> String {
        let json = serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "bos_token": "<s>",
            "eos_token": "</s>", "clean_up_tokenization_spaces": false,
        });
        format!("{json:#}\n")
    }

    /// Writes stories as documents: Parquet with the columns `text`, `log_prob` and `num_tokens`. The same stories make
    /// the same bytes. Returns the files.
    ///
    /// # Errors
    /// [`GrammarError`] if a file cannot be written.
    pub fn write_parquet(
        &self,
        dir: &Path,
        stories: Range<u64>,
    ) -> Result<Vec<PathBuf>, GrammarError> {
        let store = |path: &Path, source| GrammarError::Store { path: path.to_owned(), source };
        create_dir_all(dir).map_err(|e| store(dir, e))?;
        let mut files = Vec::new();
        let mut start = stories.start;
        while start < stories.end {
            let end = start.saturating_add(FILE_STORIES).min(stories.end);
            let path = dir.join(format!("stories-{start:09}.parquet"));
            let mut file = AtomicFile::create(&path).map_err(|e| store(&path, e))?;
            self.encode(start..end, &mut file)
                .map_err(|source| GrammarError::Write { path: path.clone(), source })?;
            file.commit().map_err(|e| store(&path, e))?;
            files.push(path);
            start = end;
        }
        Ok(files)
    }

    fn encode(&self, stories: Range<u64>, file: &mut AtomicFile) -> Result<(), ParquetFault> {
        let batch = |range: Range<u64>| {
            let stories: Vec<Story> = range.map(|index| self.story(index)).collect();
            let text = StringArray::from_iter_values(stories.iter().map(|story| &story.text));
            let log_prob: Float64Array = stories.iter().map(|story| Some(story.log_prob)).collect();
            let tokens: UInt32Array = stories.iter().map(|story| Some(story.num_tokens)).collect();
            RecordBatch::try_from_iter_with_nullable([
                ("text", Arc::new(text) as ArrayRef, false),
                ("log_prob", Arc::new(log_prob) as ArrayRef, false),
                ("num_tokens", Arc::new(tokens) as ArrayRef, false),
            ])
        };
        let properties = WriterProperties::builder()
            .set_created_by("stillflow".to_owned())
            .set_dictionary_enabled(false)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
            .set_max_row_group_row_count(None)
            .build();
        let mut writer = ArrowWriter::try_new(file, batch(0..0)?.schema(), Some(properties))?;
        let mut start = stories.start;
        while start < stories.end {
            let end = (start + GROUP_STORIES).min(stories.end);
            writer.write(&batch(start..end)?)?;
            writer.flush()?;
            start = end;
        }
        writer.close()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
