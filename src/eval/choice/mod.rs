//! Multiple choice, as lm-evaluation-harness scores it: the answer of a model is the choice that it finds likeliest
//! after the context.
//!
//! | module | what |
//! |---|---|
//! | [`items`] | the file: a JSON object a line |
//! | [`question`] | an item in tokens |
//! | [`questions`] | all of them, in micro-batches |
//! | [`answers`] | log-likelihoods of choices, and how many answers are right |
//! | [`error`] | what can be wrong with the file, by line |

pub mod answers;
pub mod error;
pub mod items;
pub mod question;
pub mod questions;

pub use answers::Answers;
pub use error::ChoiceError;
pub use items::Item;
pub use question::{Choice, Encoding, Question};
pub use questions::Questions;
