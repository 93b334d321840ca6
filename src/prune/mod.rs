//! Scores → plan → surgery.
//!
//! | module | what |
//! |---|---|
//! | [`axis`] | what may be cut |
//! | [`importance`] | what is accumulated over calibration samples, and the scores it gives |
//! | [`sums`] | what is accumulated, at rest |
//! | [`plan`] | which indices are kept: a pure function of scores and sizes, printed and read as TOML |
//! | [`surgery`] | a model and a plan into a smaller model; decides nothing |

pub mod axis;
pub mod importance;
pub mod plan;
pub mod sums;
pub mod surgery;

pub use axis::Axis;
pub use importance::Importance;
pub use plan::{LayerPlan, PlanError, PrunePlan};
pub use surgery::cut;
