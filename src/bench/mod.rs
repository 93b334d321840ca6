//! How fast the data path is: what is measured, and what it says.
//!
//! | module | what |
//! |---|---|
//! | [`data`] | the experiment on token shards: the sweeps, the peers, the choice |
//! | [`quick`] | four numbers in under a minute |
//! | [`part`] | what one process of many reads, as a digest |
//! | [`graph`] | the dataflow alone |
//! | [`measure`] | the loops that are measured; [`measurement`] is what each gives |
//! | [`shards`] | the tokens that are measured with; [`synthetic`] draws them |
//! | [`against`] | the peers |
//! | [`summary`] | the table, and the choice |

pub mod against;
pub mod data;
pub mod graph;
pub mod measure;
pub mod measurement;
pub mod part;
pub mod quick;
pub mod shards;
pub mod summary;
pub mod synthetic;

pub use data::{Experiment, Found, Knob};
pub use graph::Graph;
pub use part::Part;
pub use quick::Quick;
