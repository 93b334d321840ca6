//! What can go wrong in a loader.

use std::error::Error;
use std::sync::Arc;

use super::GroupError;
use crate::mixture::MixtureError;

/// An error of opening a loader, or of one sequence. May be given to every thread that waited for the same window.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The weights or the schedule.
    #[error(transparent)]
    Mixture(#[from] MixtureError),
    /// A length of sequences that cannot be.
    #[error("a sequence can have 1 to 4294967294 tokens, not {found}")]
    SequenceLength {
        /// What was asked for.
        found: usize,
    },
    /// A token around documents that is no id.
    #[error("the {what} token is {token}, expected an id below the vocabulary's {vocab_size}")]
    SpecialToken {
        /// `bos` or `eos`.
        what: &'static str,
        /// The token.
        token: u32,
        /// The number of ids.
        vocab_size: u32,
    },
    /// A source that does not fill one sequence.
    #[error("source {name:?} has {tokens} tokens, one sequence needs {need}")]
    TooShort {
        /// The source.
        name: String,
        /// The tokens of an epoch, those around documents included.
        tokens: u64,
        /// The tokens of a sequence.
        need: u64,
    },
    /// A window too large to be addressed.
    #[error(
        "a window of source {name:?} can have {tokens} tokens, expected fewer than 2^32: make window_tokens smaller"
    )]
    WindowTooLarge {
        /// The source.
        name: String,
        /// The tokens of its largest window.
        tokens: u64,
    },
    /// A row group that cannot be read.
    #[error("cannot read row group {group} of source {name:?}")]
    Read {
        /// The source.
        name: String,
        /// The row group.
        group: usize,
        /// Why.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A row group that is not what was said of it.
    #[error("row group {group} of source {name:?} has {found} {what}, expected {expected}")]
    Changed {
        /// The source.
        name: String,
        /// The row group.
        group: usize,
        /// What was counted.
        what: &'static str,
        /// As said before it was read.
        expected: u64,
        /// As read.
        found: u64,
    },
    /// A token that is no id.
    #[error(
        "token {position} of row {row} in row group {group} of source {name:?} is {token}, expected an id below the \
         vocabulary's {vocab_size}"
    )]
    TokenTooLarge {
        /// The source.
        name: String,
        /// The row group.
        group: usize,
        /// The row in it.
        row: usize,
        /// Which of the row's tokens.
        position: usize,
        /// The token.
        token: u32,
        /// The number of ids.
        vocab_size: u32,
    },
    /// A window that was being decoded by a thread that panicked.
    #[error("the thread that decoded a window of source {name:?} panicked")]
    Panicked {
        /// The source.
        name: String,
    },
    /// A sequence after the last.
    #[error("there is no sequence {index}: the sources end after {num_sequences}")]
    PastEnd {
        /// What was asked for.
        index: u64,
        /// How many there are.
        num_sequences: u64,
    },
    /// A thread that cannot be started.
    #[error("cannot start a thread that reads ahead")]
    Thread {
        /// Why.
        source: Arc<std::io::Error>,
    },
}

impl LoadError {
    pub(super) fn read(name: &str, group: usize, source: GroupError) -> Self {
        Self::Read { name: name.to_owned(), group, source: Arc::from(source) }
    }
}
