//! Prune a large language model, distil it into the smaller one, and never lose a step.
//!
//! | module | what |
//! |---|---|
//! | [`recipe`] | a run as data; [`plan`] is what it will do |
//! | [`model`] | decoders as values; [`weights`] are Hugging Face directories in and out |
//! | [`prune`] | scores, plan, surgery; [`search`] is which shapes a budget leaves |
//! | [`distill`] | the trainer core |
//! | [`eval`] | what a model is worth on held-out text |
//! | [`logits`] | what a teacher thinks of samples, between the model, the cache and the loss |
//! | [`stages`] | the wiring: what the graphs of `dataflows` are made of |
//! | [`trends`] | the papers' findings, tried |
//! | [`bench`] | how fast the data path is; [`chart`] and [`curves`] draw |
//! | [`run`] | the run directory, events, progress |
//! | [`cli`] | one file a verb |

pub mod bench;
pub mod chart;
pub mod cli;
pub mod curves;
pub mod distill;
pub mod error;
pub mod eval;
pub mod heat_map;
pub mod logits;
pub mod model;
pub mod plan;
pub mod prune;
pub mod recipe;
pub mod run;
pub mod search;
pub mod stages;
pub mod trends;
pub mod units;
pub mod weights;

pub use error::Error;
