//! What a teacher thinks of samples, between the model, the cache and the loss.
//!
//! | module | what |
//! |---|---|
//! | [`score`] | samples → the teacher → what a cache keeps of it |
//! | [`lesson`] | what a cache has of the documents of packed sequences → what the loss takes |
//! | [`replay`] | what a cache has → the teacher again: are they the same? |
//! | [`audit`] | how much of a distribution is lost with what is not kept |
//!
//! The format is [`datasets::logits`], the selection of words [`kernels::capture`], the loss [`kernels::loss::sparse`].

pub mod audit;
#[cfg(test)]
pub(crate) mod fixture;
pub mod lesson;
pub mod replay;
pub mod score;

pub use lesson::{Lessons, sparse};
pub use score::{Asked, Scorer};
