//! Documents, as they are given and as the collections know them.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A document of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doc {
    /// Its place in the file; no two of a file have one.
    pub index: u64,
    /// The hash of its content.
    pub id: u128,
    /// The source that it counts for.
    pub source: u16,
    /// Its length.
    pub bytes: u32,
    /// Its length in tokens.
    pub tokens: u32,
    /// The hashes of its MinHash bands, each made with the number of the band; empty where near
    /// duplicates are not wanted.
    pub bands: Vec<u64>,
}

/// Where a document is. The first of what is the same is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the file.
    pub file: u32,
    /// The place in the file.
    pub index: u64,
}

/// Why a document is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Why {
    /// Its id is that of the other.
    Exact,
    /// Shared bands connect it to the other.
    Near,
}

/// A document that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Which.
    pub place: Place,
    /// Why.
    pub why: Why,
    /// The document that it duplicates.
    pub of: Place,
}

/// A place as the collections know it, in half of the bytes. Ordered as the places are, since the rows of
/// a load are in the order of their indices, and a file has one load at a time. The load tells the
/// documents of a file from those that replace them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) file: u32,
    pub(super) row: u32,
    pub(super) load: u32,
}

/// What is kept of a document, to count it and to take it away.
pub(super) struct Row {
    pub(super) index: u64,
    pub(super) id: u128,
    pub(super) source: u16,
    pub(super) bytes: u32,
    pub(super) tokens: u32,
    pub(super) bands: Bands,
}

impl From<Doc> for Row {
    fn from(Doc { index, id, source, bytes, tokens, bands }: Doc) -> Self {
        Row {
            index,
            id,
            source,
            bytes,
            tokens,
            bands: Bands((!bands.is_empty()).then(|| bands.into())),
        }
    }
}

/// The bands of a document: one copy for all collections. None takes no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bands(Option<Arc<[u64]>>);

impl Bands {
    pub(super) fn as_slice(&self) -> &[u64] {
        self.0.as_deref().unwrap_or_default()
    }
}

// What a collection holds must be able to travel, though in one process it never does.
impl Serialize for Bands {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|bands| Bands((!bands.is_empty()).then(|| bands.into())))
    }
}
