//! Which shape a student should have: candidates under a budget.
//!
//! | module | |
//! |---|---|
//! | [`cost`] | what a shape costs: parameters, bytes, FLOPs, milliseconds |
//! | [`budget`] | the windows that costs must lie in |
//! | [`space`] | the shapes that a recipe lists, and those that a budget leaves |
//! | [`latency`] | milliseconds of a shape, from a table of measured blocks |
//! | [`report`] | candidates, their curves, the choice and why |

pub mod budget;
pub mod cost;
pub mod latency;
pub mod report;
pub mod space;

pub use budget::Budget;
pub use cost::Cost;
pub use latency::Latencies;
