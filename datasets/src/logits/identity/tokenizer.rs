//! Which tokenizer: what its ids mean, and what it makes of texts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::difference::{Differences, NAMED};
use super::probes;
use crate::store::{Digest, Hasher, digest_bytes};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// A tokenizer: not its file, but what it does.
///
/// Two are the same if their ids mean the same tokens and if they make the same of a thousand fixed texts
/// ([`probes`]). Neither is enough alone: equal tables may be walked by other rules, and equal rules over the probes say
/// nothing of the tokens that they do not reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerIdentity {
    /// The digest of the mapping from ids to tokens: [`Tokenizer::fingerprint`].
    pub mapping: Digest,
    /// The largest id plus one.
    pub size: u32,
    /// The token that begins a document.
    pub bos_id: Option<u32>,
    /// The token that ends a document.
    pub eos_id: Option<u32>,
    /// Some tokens by their ids: the last of them, where what was added usually is, and every 1024th.
    pub tokens: Vec<(u32, String)>,
    /// The ids of each probe, with spaces between.
    pub probes: Vec<String>,
    /// The digest of the file; not part of what is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Digest>,
}

impl TokenizerIdentity {
    /// Of a tokenizer in memory.
    ///
    /// # Errors
    /// If it cannot encode a probe.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let mut lists = Vec::new();
        for probe in probes() {
            let ids = tokenizer.encode(&probe)?;
            lists.push(ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
        }
        let size = tokenizer.vocab_size();
        let sampled = (0..size).filter(|id| id % 1024 == 0 || size - id <= 300);
        let token = |id: u32| Some((id, tokenizer.id_to_token(id)?.to_owned()));
        Ok(Self {
            mapping: tokenizer.fingerprint(),
            size,
            bos_id: tokenizer.bos_id(),
            eos_id: tokenizer.eos_id(),
            tokens: sampled.filter_map(token).collect(),
            probes: lists,
            file: None,
        })
    }

    /// Of a `tokenizer.json`, or the one in a directory.
    ///
    /// # Errors
    /// [`TokenizerError`], naming the file.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let mut identity = Self::of(&Tokenizer::load(path)?)?;
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let bytes = std::fs::read(&path).map_err(|source| TokenizerError::Io { path, source })?;
        identity.file = Some(digest_bytes(&bytes));
        Ok(identity)
    }

    /// One digest of what it does: the same for files that do the same.
    pub fn fingerprint(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(self.mapping.as_bytes());
        for special in [self.bos_id, self.eos_id] {
            hasher.update(&special.map_or(u64::MAX, u64::from).to_le_bytes());
        }
        for probe in &self.probes {
            hasher.update(probe.as_bytes()).update(b"\n");
        }
        hasher.digest()
    }

    pub(super) fn compare(&self, found: &Self, all: &mut Differences) {
        all.compare("tokenizer.bos_id", &self.bos_id, &found.bos_id);
        all.compare("tokenizer.eos_id", &self.eos_id, &found.eos_id);
        if self.mapping != found.mapping {
            self.compare_tokens(found, all);
        }
        let texts = probes();
        let differ: Vec<usize> = (0..self.probes.len().max(found.probes.len()))
            .filter(|n| self.probes.get(*n) != found.probes.get(*n))
            .collect();
        if let Some(n) = differ.first() {
            let none = String::new();
            let of = |probes: &Vec<String>| format!("[{}]", probes.get(*n).unwrap_or(&none));
            let text = texts.get(*n).map_or_else(String::new, |text| format!("{text:?}"));
            let what = format!("tokenizer on {} of {} texts, as {text}", differ.len(), texts.len());
            all.push(&what, of(&self.probes), of(&found.probes));
        }
    }

    fn token(&self, id: u32) -> Option<&String> {
        let place = self.tokens.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.tokens.get(place).map(|(_, token)| token)
    }

    fn compare_tokens(&self, found: &Self, all: &mut Differences) {
        all.compare("tokenizer.size", &self.size, &found.size);
        // What only one of them lists says nothing: each lists its own last ones.
        let differ: Vec<_> = self
            .tokens
            .iter()
            .filter_map(|(id, expected)| Some((id, expected, found.token(*id)?)))
            .filter(|(_, expected, found)| expected != found)
            .collect();
        for (id, expected, found) in differ.iter().take(NAMED) {
            let what = format!("tokenizer.tokens.{id}");
            all.push(&what, format_args!("{expected:?}"), format_args!("{found:?}"));
        }
        if differ.len() > NAMED {
            let more = differ.len() - NAMED;
            all.push("tokenizer.tokens", "the same", format_args!("{more} more that differ"));
        } else if differ.is_empty() {
            all.push("tokenizer.mapping", self.mapping, found.mapping);
        }
    }

    /// Other files that do the same.
    pub(super) fn compare_files(&self, found: &Self, all: &mut Differences) {
        if let (Some(expected), Some(found)) = (self.file, found.file)
            && expected != found
        {
            all.push("tokenizer.file", expected, found);
        }
    }
}
