//! Token shards: ordinary Parquet, one row a sample, and a manifest of hashes beside them.
//!
//! ```text
//! <dir>/tokens-00000.parquet …   id          binary, 16 bytes        the first half of the BLAKE3 digest of the text
//!                                source      utf8                    where the text came from
//!                                tokens      list<uint16|uint32>     the narrowest type that holds the vocabulary
//!                                num_tokens  uint32                  the list's length
//!                                num_bytes   uint32                  the text's length in UTF-8, for bits per byte
//! <dir>/manifest.json            version, header, entries, digest    see below
//! ```
//!
//! No value is null. Tokens are encoded BYTE_STREAM_SPLIT and compressed with zstd(1), without a dictionary; a row group
//! ends at the sample with which it reaches its number of tokens (1 Mi). Other [`Layout`]s are read as well. The footer's key-value metadata holds
//! `stillflow.version`, `stillflow.tokenizer` (fingerprint), `stillflow.vocab_size`, `stillflow.bos_id`,
//! `stillflow.eos_id` (absent if there is none).
//!
//! The manifest ([`sealed`](crate::store::sealed)) holds for each shard its file's name, length and digest, and for each
//! row group `rows`, `tokens`, `max_id`, `offset`, `bytes` and the `hash` (XXH3-128) of the stored bytes. A row group's bytes reach
//! from the end of the one before, or the file's start, to its own end; the rest of the file is the footer, which has a
//! hash too: every byte of a shard is under exactly one hash. Parquet itself would accept most flipped bits in silence.
//!
//! Parquet files of others, with any list of integers, are taken in by [`Shards::adopt`]: read once, for a manifest of
//! our own, with the `column` and the `location` of the files. [`ReadAt`] and [`Folder`] are all that is asked of the
//! place where they lie.

mod adopt;
mod checksum;
mod decode;
mod error;
mod fast;
mod file;
mod folder;
mod layout;
mod list;
mod manifest;
mod page;
mod reader;
mod reading;
mod remote;
mod samples;
mod segment;
mod token_column;
mod verified;
mod writer;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::{Digest, digest_bytes};

pub use checksum::Checksum;
pub use error::ShardError;
pub(crate) use fast::{NotOurs, read as read_lists};
pub(crate) use file::ShardFile;
pub use folder::{Folder, LocalFolder, ReadAt};
pub use layout::{Layout, PageCompression, TokenEncoding};
pub use manifest::{RowGroup, ShardEntry, write_manifest};
pub use page::PageFault;
pub use reader::{Group, Shards};
pub use remote::RemoteFolder;
pub use samples::{SampleRef, Samples};
pub(crate) use segment::{Segments, Sink};
pub(crate) use token_column::TokenColumn;
pub(crate) use verified::Verified;
pub use writer::ShardWriter;

/// A sample's name: the first 16 bytes of the BLAKE3 digest of its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(pub [u8; 16]);

impl SampleId {
    /// The id of a text.
    pub fn of_text(text: &str) -> Self {
        Self::of_digest(digest_bytes(text.as_bytes()))
    }

    /// The id of tokens whose text is not known.
    pub fn of_tokens(tokens: &[u32]) -> Self {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        Self::of_digest(digest_bytes(&bytes))
    }

    fn of_digest(digest: Digest) -> Self {
        let (half, _) = digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
        Self(*half)
    }
}

impl fmt::Display for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SampleId({self})")
    }
}

/// A tokenised document, before packing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its name.
    pub id: SampleId,
    /// Where its text came from.
    pub source: Arc<str>,
    /// Its tokens, without tokens that begin or end a document.
    pub tokens: Vec<u32>,
    /// The length of its text in UTF-8; 0 where the text is not known (foreign shards).
    pub num_bytes: u32,
}

/// What all shards of a folder have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The fingerprint of the tokenizer.
    pub tokenizer: Digest,
    /// The number of ids: every token is below it.
    pub vocab_size: u32,
    /// The token that begins a document, if there is one.
    pub bos_id: Option<u32>,
    /// The token that ends a document, if there is one.
    pub eos_id: Option<u32>,
}

#[cfg(test)]
mod decoder_tests;
#[cfg(test)]
mod tests;
