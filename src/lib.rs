//! stillflow

pub mod distill;
pub mod model;
pub mod plan;
pub mod prune;
pub mod recipe;
pub mod weights;
