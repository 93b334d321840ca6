//! What models are worth on held-out text, and on multiple-choice items.
//!
//! | module | what |
//! |---|---|
//! | [`held_out`] | the sequences that are scored |
//! | [`losses`] | the sums of one model over one micro-batch |
//! | [`choice`] | multiple choice: items, their tokens, their log-likelihoods |
//! | [`report`] | means, with their units, and the table that a person reads |
//! | [`sums`] | what is summed of all models, and how it lies in a checkpoint |
//! | [`floor`] | the entropy of generated stories, which no model gets below |

pub mod choice;
pub mod floor;
pub mod held_out;
pub mod losses;
pub mod report;
pub mod sums;

pub use held_out::HeldOut;
pub use report::{Accuracy, ModelReport, Report};
pub use sums::Sums;
