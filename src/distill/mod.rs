//! The student's side of distillation, and of plain training: [`batch`] is what a forward pass takes, [`trainer`]
//! accumulates gradients and updates, [`state`] is what a checkpoint holds of it. [`hidden`] is the loss on hidden states,
//! [`balance`] the weights that follow the others.

pub mod balance;
pub mod batch;
pub mod hidden;
pub mod learning_rate;
pub mod state;
pub mod trainer;

pub use balance::Balance;
pub use batch::Batch;
pub use hidden::Hidden;
pub use learning_rate::LearningRate;
pub use trainer::{Settings, StepReport, Trainer};
