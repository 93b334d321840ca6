//! Scores → plan → surgery.
//!
//! | module | what |
//! |---|---|
//! | [`axis`] | what may be cut |
//! | [`sites`] | where in a layer importance looks |
//! | [`importance`] | what is accumulated over calibration samples |
//! | [`sums`] | what is accumulated, at rest |
//! | [`fingerprint`] | whose sums they are |
//! | [`aggregation`] | sums into one number a channel, in nine ways |
//! | [`magnitude`] | what weights alone say |
//! | [`scores`] | a number for each channel, neuron and head |
//! | [`depth`] | what layers and blocks of layers are worth, and which go |
//! | [`residual`] | the power of the residual stream, and what a norm is corrected by |
//! | [`plan`] | which indices are kept, printed and read as TOML |
//! | [`choose`] | a plan by scores and sizes: a pure function |
//! | [`add_back`] | which removed heads go into which that stay |
//! | [`fit`] | whether a plan fits a model |
//! | [`compose`] | two plans as one |
//! | [`difference`] | how two plans differ |
//! | [`scores`] | written scores, read again |
//! | [`surgery`] | a model and a plan into a smaller model; decides nothing |
//! | [`streamed`] | the same from directory to directory, tensor by tensor |

pub mod add_back;
pub mod aggregation;
pub mod axis;
pub mod choose;
pub mod compose;
pub mod depth;
pub mod difference;
pub mod fingerprint;
pub mod fit;
pub mod importance;
pub mod magnitude;
pub mod plan;
pub mod residual;
pub mod scores;
pub mod sites;
pub mod streamed;
pub mod sums;
pub mod surgery;
pub mod written;

#[cfg(test)]
mod acceptance_tests;

pub use add_back::HeadAddBack;
pub use aggregation::{Aggregation, Aggregations};
pub use axis::Axis;
pub use depth::{Depth, DepthSums};
pub use fingerprint::Fingerprint;
pub use fit::{Place, PlanError};
pub use importance::Importance;
pub use plan::{LayerPlan, PrunePlan};
pub use residual::Residual;
pub use scores::{Score, Scores};
pub use sites::Sites;
pub use streamed::cut_directory;
pub use surgery::cut;
