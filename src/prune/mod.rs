//! Scores → plan → surgery.
//!
//! | module | what |
//! |---|---|
//! | [`axis`] | what may be cut |
//! | [`importance`] | what is accumulated over calibration samples, and the scores it gives |
//! | [`sums`] | what is accumulated, at rest |
//! | [`residual`] | the power of the residual stream, and what a norm is corrected by |
//! | [`plan`] | which indices are kept, printed and read as TOML |
//! | [`choose`] | a plan by scores and sizes: a pure function |
//! | [`add_back`] | which removed heads go into which that stay |
//! | [`fit`] | whether a plan fits a model |
//! | [`surgery`] | a model and a plan into a smaller model; decides nothing |

pub mod add_back;
pub mod axis;
pub mod choose;
pub mod fit;
pub mod importance;
pub mod plan;
pub mod residual;
pub mod sums;
pub mod surgery;

#[cfg(test)]
mod acceptance_tests;

pub use add_back::HeadAddBack;
pub use axis::Axis;
pub use fit::{Place, PlanError};
pub use importance::Importance;
pub use plan::{LayerPlan, PrunePlan};
pub use residual::Residual;
pub use surgery::cut;
