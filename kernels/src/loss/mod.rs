//! What is minimised: the head and its loss as one operation, in chunks of tokens.
//!
//! [`objective`] says which losses and how they are weighed; [`divergence`] what each of them is; [`head`] multiplies by the head, chunk by
//! chunk, and returns the sums of the losses with the gradients of the hidden states and of the head's
//! weight; [`rows`] is what happens to one chunk of logits, by [`terms`] where more is asked for than forward KL and
//! cross-entropy, and by [`tensors`] where the memory is a device's. [`sparse`] is the form of all
//! of them where a few words a token are known of the teacher. [`hidden`] compares hidden states instead of logits.

mod coefficients;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube;
pub mod divergence;
pub mod head;
pub mod hidden;
pub mod objective;
#[cfg(test)]
mod reference;
mod rows;
mod seen;
pub mod sparse;
mod sparse_tensors;
mod tensors;
mod terms;
mod tiled;

pub use divergence::Divergence;
pub use head::{HeadGradients, Teacher, head_loss, head_loss_and_gradients};
pub use hidden::{HiddenGradients, HiddenLoss, hidden_loss};
pub use objective::{HIDDEN, LossSums, OTHERS, Objective, Term};
pub use sparse::{NO_WORD, Rest, Sparse, SparseError};
