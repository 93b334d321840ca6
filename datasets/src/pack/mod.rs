//! Documents into sequences.
//!
//! A *document* is a sample's tokens with the tokens that begin and end a document around it. A *sequence* predicts `S`
//! tokens and so has `S + 1`. [`Method`] says how documents fill sequences; [`loader`](crate::loader) does it to data
//! of any size, [`Sequences`] to samples in memory (on its way out).

mod best_fit;
mod in_memory;
mod rooms;

use serde::{Deserialize, Serialize};

pub use best_fit::{Bins, Piece, best_fit};
pub use in_memory::{PackError, Packing, Sequence, Sequences};

/// How documents fill sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// An epoch's documents, one after the other, are cut: sequence `i` is tokens `[i·S, (i+1)·S]` of the epoch. The
    /// last is only a label and is the first of the next sequence. What is left at the epoch's end is dropped.
    #[default]
    Concat,
    /// The documents of each row group are put where they fit best ([`best_fit`]), cut only where they are longer than
    /// a sequence. What is left of a sequence is padded.
    BestFit,
}
