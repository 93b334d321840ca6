//! Hugging Face's `tokenizer.json`: text to ids and back.
//!
//! A file of any version is read: older ones are first rewritten into the canonical form. Text is encoded as text:
//! nothing is added around it, nothing is cut or padded, and a text that spells a special token gets the ids of its
//! letters, so that no document can end another.
//!
//! Which tokens begin and end a document is not in `tokenizer.json`. It is looked for, in this order and beside it, in
//! `tokenizer_config.json` and `special_tokens_map.json` (`bos_token`, `eos_token`: a text, or an object with `content`)
//! and in `config.json` (`bos_token_id`, `eos_token_id`: an id, or a list of which the first counts). The first file
//! that has the key decides, also if it says null.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer};

use crate::store::{Digest, Hasher};

/// An error of a tokenizer: the file, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The operating system refused to read a file.
    #[error("could not read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it was refused.
        source: io::Error,
    },
    /// A file that is no JSON.
    #[error("`{}` is not JSON", path.display())]
    BadJson {
        /// The file.
        path: PathBuf,
        /// Where it stopped making sense.
        source: serde_json::Error,
    },
    /// A file that is no tokenizer, or one that is not supported.
    #[error("`{}` is not a tokenizer that can be read", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A vocabulary that is none: no ids, or an id that is no number or names two tokens.
    #[error("the vocabulary of `{}` is malformed: {what}", path.display())]
    BadVocabulary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A special token that the vocabulary lacks, or that is neither a token nor an id.
    #[error("`{key}` in `{}` is {found}, which is no token of the vocabulary", path.display())]
    UnknownSpecial {
        /// The file.
        path: PathBuf,
        /// `bos_token` or `eos_token`, or its id.
        key: String,
        /// What it says.
        found: String,
    },
    /// A text that the tokenizer could not encode.
    #[error("a text of {bytes} bytes could not be encoded")]
    Encode {
        /// The text's length.
        bytes: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Ids that the tokenizer could not decode.
    #[error("{ids} ids could not be decoded")]
    Decode {
        /// How many.
        ids: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

thread_local! {
    /// What an encoding grows in: documents are short, and growing a list anew for each costs as much as half of it.
    static SCRATCH: RefCell<Vec<PipelineToken>> = const { RefCell::new(Vec::new()) };
}

/// A tokenizer. Clones share it, and threads may.
#[derive(Clone)]
pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    vocabulary: Arc<Vocabulary>,
    options: EncodeOptions,
    unk_id: Option<u32>,
    bos_id: Option<u32>,
    eos_id: Option<u32>,
}

struct Vocabulary {
    tokens: BTreeMap<u32, String>,
    ids: HashMap<String, u32>,
    fingerprint: Digest,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, or the one in a directory.
    ///
    /// # Errors
    /// [`TokenizerError`], naming the file.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let mut json = read_json(&path)?;
        let unsupported = |source| TokenizerError::Unsupported { path: path.clone(), source };
        tokenizers::canonicalize_value(&mut json).map_err(|e| unsupported(e.into()))?;
        let vocabulary = Vocabulary::of(&json)
            .map_err(|what| TokenizerError::BadVocabulary { path: path.clone(), what })?;
        drop_vain_byte_fallback(&mut json);
        complete_byte_alphabet(&mut json, vocabulary.size());
        let unk_id =
            json["model"]["unk_token"].as_str().and_then(|t| vocabulary.ids.get(t).copied());
        let pipeline = tokenizers::from_json(&json.to_string()).map_err(unsupported)?;
        let options = EncodeOptions {
            add_special_tokens: false,
            encode_special_tokens: true,
            padding: Override::Off,
            truncation: Override::Off,
        };
        let bos_id = special(&path, "bos_token", &vocabulary)?;
        let eos_id = special(&path, "eos_token", &vocabulary)?;
        Ok(Self { pipeline, vocabulary: Arc::new(vocabulary), options, unk_id, bos_id, eos_id })
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// As [`encode_onto`](Self::encode_onto).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        self.encode_onto(text, &mut ids)?;
        Ok(ids)
    }

    /// [`encode`](Self::encode), behind what `to` holds.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] if the model refuses it (a word-level one without an unknown token does).
    pub fn encode_onto(&self, text: &str, to: &mut Vec<u32>) -> Result<(), TokenizerError> {
        SCRATCH.with_borrow_mut(|ids| {
            ids.clear();
            self.pipeline
                .encode_into(text, &self.options, ids)
                .map_err(|source| TokenizerError::Encode { bytes: text.len(), source })?;
            let ids = PipelineToken::cast_slice(ids);
            // Ids beyond the vocabulary are bytes that it lacks: see `complete_byte_alphabet`.
            let size = self.vocab_size();
            if ids.iter().fold(true, |all, id| all & (*id < size)) {
                to.extend_from_slice(ids);
            } else {
                let known = |id: &u32| if *id < size { Some(*id) } else { self.unk_id };
                to.extend(ids.iter().filter_map(known));
            }
            Ok(())
        })
    }

    /// The text of ids, special tokens spelled out. Ids that the vocabulary lacks have none.
    ///
    /// # Errors
    /// [`TokenizerError::Decode`] if the decoder refuses them.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let size = self.vocab_size();
        let ids: Vec<u32> = ids.iter().copied().filter(|id| *id < size).collect();
        self.pipeline
            .decode(&ids, false)
            .map_err(|source| TokenizerError::Decode { ids: ids.len(), source })
    }

    /// The largest id plus one, added tokens included. A model's may be larger, never smaller.
    pub fn vocab_size(&self) -> u32 {
        self.vocabulary.size()
    }

    /// The token that begins a document, if there is one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos_id
    }

    /// The token that ends a document, if there is one.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos_id
    }

    /// The id of a token, as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.vocabulary.ids.get(token).copied()
    }

    /// The token of an id, as the vocabulary spells it.
    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        self.vocabulary.tokens.get(&id).map(String::as_str)
    }

    /// A digest of the mapping from ids to tokens: equal mappings have equal ones, whatever files they come from.
    pub fn fingerprint(&self) -> Digest {
        self.vocabulary.fingerprint
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens, {})", self.vocabulary.tokens.len(), self.fingerprint())
    }
}

impl Vocabulary {
    fn size(&self) -> u32 {
        self.tokens.last_key_value().map_or(0, |(id, _)| id + 1)
    }

    /// Out of a canonical `tokenizer.json`: the model's vocabulary, a mapping or (Unigram) a list, and added tokens.
    fn of(json: &Value) -> Result<Self, String> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let mut pairs: Vec<(u32, &str)> = Vec::new();
        match &json["model"]["vocab"] {
            Value::Object(map) => {
                for (token, value) in map {
                    let id = id(value).ok_or_else(|| format!("the id of `{token}` is {value}"))?;
                    pairs.push((id, token));
                }
            }
            Value::Array(list) => {
                for (n, entry) in list.iter().enumerate() {
                    let token = entry[0].as_str().ok_or_else(|| format!("entry {n} is {entry}"))?;
                    pairs.push((u32::try_from(n).map_err(|e| e.to_string())?, token));
                }
            }
            _ => return Err("the model has no `vocab`".to_owned()),
        }
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            match (id(&token["id"]), token["content"].as_str()) {
                (Some(id), Some(content)) => pairs.push((id, content)),
                _ => return Err(format!("the added token {token} has no id or no content")),
            }
        }
        let mut tokens = BTreeMap::new();
        for (id, token) in &pairs {
            match tokens.insert(*id, (*token).to_owned()) {
                Some(other) if other != *token => {
                    return Err(format!("id {id} is both `{other}` and `{token}`"));
                }
                _ => {}
            }
        }
        let mut hasher = Hasher::new();
        for (id, token) in &tokens {
            hasher.update(&id.to_le_bytes());
            hasher.update(&(token.len() as u64).to_le_bytes()).update(token.as_bytes());
        }
        // The added tokens come last, so that they win where a list names a token twice.
        let ids = pairs.into_iter().map(|(id, token)| (token.to_owned(), id)).collect();
        if tokens.contains_key(&u32::MAX) {
            return Err(format!("an id is {}", u32::MAX));
        }
        Ok(Self { tokens, ids, fingerprint: hasher.digest() })
    }
}

/// Some vocabularies say `byte_fallback` and have no byte to fall back on (`raincandy-u/TinyStories-656K`). The released
/// library then gives the unknown token, as it does without the word; the reader used here would refuse the file.
fn drop_vain_byte_fallback(json: &mut Value) {
    let model = &mut json["model"];
    let has_bytes = model["vocab"]
        .as_object()
        .is_none_or(|vocab| (0..=255u8).any(|byte| vocab.contains_key(&format!("<0x{byte:02X}>"))));
    if !has_bytes && model["byte_fallback"] == Value::Bool(true) {
        model["byte_fallback"] = Value::Bool(false);
    }
}

/// A byte-level vocabulary trained on a narrow text may lack bytes. The released library then gives the unknown token
/// for them, or nothing; the reader used here would refuse the file. So they get ids behind the vocabulary, which
/// [`Tokenizer::encode`] takes out again.
fn complete_byte_alphabet(json: &mut Value, size: u32) {
    let model = &mut json["model"];
    if model["byte_level"] != Value::Bool(true) {
        return;
    }
    let Some(vocab) = model["vocab"].as_object_mut() else {
        return;
    };
    let mut next = size;
    for atom in byte_alphabet() {
        vocab.entry(atom).or_insert_with(|| {
            next += 1;
            Value::from(next - 1)
        });
    }
}

/// GPT-2's alphabet: the letter by which each byte is spelled. Those that print are themselves.
fn byte_alphabet() -> impl Iterator<Item = String> {
    let mut next = 0x100;
    (0..=255u8).map(move |byte| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte).to_string(),
        _ => {
            next += 1;
            char::from_u32(next - 1).map(String::from).unwrap_or_default()
        }
    })
}

fn read_json(path: &Path) -> Result<Value, TokenizerError> {
    let bytes =
        fs::read(path).map_err(|source| TokenizerError::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|source| TokenizerError::BadJson { path: path.to_owned(), source })
}

/// The id of a special token, by the first file beside the tokenizer that speaks of it.
fn special(
    tokenizer: &Path,
    key: &str,
    vocabulary: &Vocabulary,
) -> Result<Option<u32>, TokenizerError> {
    let id_key = format!("{key}_id");
    let files = [
        ("tokenizer_config.json", key),
        ("special_tokens_map.json", key),
        ("config.json", id_key.as_str()),
    ];
    for (file, key) in files {
        let path = tokenizer.with_file_name(file);
        if !path.exists() {
            continue;
        }
        let json = read_json(&path)?;
        let Some(value) = json.get(key) else { continue };
        let id = match value {
            Value::Null => return Ok(None),
            Value::String(token) => vocabulary.ids.get(token).copied(),
            Value::Object(token) => token
                .get("content")
                .and_then(Value::as_str)
                .and_then(|t| vocabulary.ids.get(t).copied()),
            Value::Array(ids) => {
                ids.first().and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok())
            }
            Value::Number(id) => id.as_u64().and_then(|id| u32::try_from(id).ok()),
            Value::Bool(_) => None,
        };
        return match id.filter(|id| vocabulary.tokens.contains_key(id)) {
            Some(id) => Ok(Some(id)),
            None => {
                let (key, found) = (key.to_owned(), value.to_string());
                Err(TokenizerError::UnknownSpecial { path, key, found })
            }
        };
    }
    Ok(None)
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
