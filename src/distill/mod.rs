//! The student's side of distillation, and of plain training: [`batch`] is what a forward pass takes, [`trainer`]
//! accumulates gradients and updates, [`state`] is what a checkpoint holds of it.

pub mod batch;
pub mod learning_rate;
pub mod state;
pub mod trainer;

pub use batch::Batch;
pub use learning_rate::LearningRate;
pub use trainer::{Settings, StepReport, Trainer};
