//! What is minimised: the head and its loss as one operation, in chunks of tokens.
//!
//! [`objective`] says which losses and how they are weighed; [`head`] multiplies by the head, chunk by
//! chunk, and returns the sums of the losses with the gradients of the hidden states and of the head's
//! weight; [`rows`] is what happens to one chunk of logits.

pub mod head;
pub mod objective;
mod rows;

pub use head::{HeadGradients, Teacher, head_loss, head_loss_and_gradients};
pub use objective::{LossSums, Objective};
