//! Prune a large language model, distil it into the smaller one, and never lose a step.
//!
//! | module | what |
//! |---|---|
//! | [`recipe`] | a run as data; [`plan`] is what it will do |
//! | [`model`] | decoders as values; [`weights`] are Hugging Face directories in and out |
//! | [`prune`] | scores, plan, surgery |
//! | [`distill`] | the trainer core |
//! | [`eval`] | what a model is worth on held-out text |
//! | [`stages`] | the wiring: what the graphs of `dataflows` are made of |
//! | [`bench`] | how fast the data path is; [`chart`] draws it |
//! | [`run`] | the run directory, events, progress |
//! | [`cli`] | one file a verb |

pub mod bench;
pub mod chart;
pub mod cli;
pub mod distill;
pub mod error;
pub mod eval;
pub mod heat_map;
pub mod model;
pub mod plan;
pub mod prune;
pub mod recipe;
pub mod run;
pub mod stages;
pub mod units;
pub mod weights;

pub use error::Error;
