//! What a loader reads from.

use std::error::Error;

use crate::TokenLists;
use crate::storage::Counts;

/// Why a row group could not be read.
pub type GroupError = Box<dyn Error + Send + Sync>;

/// The numbers of a row group, known without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupSize {
    /// Its documents.
    pub rows: u64,
    /// The tokens of all of them.
    pub tokens: u64,
    /// The bytes it is stored in.
    pub bytes: u64,
}

/// Row groups of token lists, of one source.
pub trait Groups: Send + Sync {
    /// The size of each row group, in the order they are stored in.
    fn sizes(&self) -> &[GroupSize];

    /// Appends the lists of a row group to `out`, which has room for them.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn read(&self, group: usize, out: &mut TokenLists) -> Result<(), GroupError>;

    /// The length of each list of a row group.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn lengths(&self, group: usize) -> Result<Vec<u32>, GroupError>;

    /// Says that a row group will be read soon.
    fn will_need(&self, _group: usize) {}

    /// What reading them from elsewhere has cost so far; nothing, on this machine.
    fn fetched(&self) -> Counts {
        Counts::default()
    }

    /// A digest of all that can be read: what a cursor is checked against.
    fn digest(&self) -> String;
}
