//! What cannot be done to a corpus.

use thiserror::Error;

/// A change that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CorpusError {
    /// The file is there.
    #[error("file {file} is in the corpus already")]
    Present {
        /// Its number.
        file: u32,
    },
    /// The file is not there.
    #[error("file {file} is not in the corpus")]
    Absent {
        /// Its number.
        file: u32,
    },
    /// Two documents of a file have one place.
    #[error("file {file} has two documents with the index {index}")]
    TwoAtOnePlace {
        /// The file.
        file: u32,
        /// Their index.
        index: u64,
    },
    /// A file of more documents than can be numbered.
    #[error("file {file} has {documents} documents, more than {limit}", limit = u32::MAX)]
    TooMany {
        /// The file.
        file: u32,
        /// How many.
        documents: usize,
    },
}
