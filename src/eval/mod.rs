//! What models are worth on held-out text.
//!
//! | module | what |
//! |---|---|
//! | [`held_out`] | the sequences that are scored |
//! | [`losses`] | the sums of one model over one micro-batch |
//! | [`report`] | means, with their units, and the table that a person reads |
//! | [`floor`] | the entropy of generated stories, which no model gets below |

pub mod floor;
pub mod held_out;
pub mod losses;
pub mod report;

pub use held_out::HeldOut;
pub use report::{ModelReport, Report};
