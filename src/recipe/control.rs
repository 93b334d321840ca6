//! `[control]`: what the student is compared with.

use serde::{Deserialize, Serialize};

/// What the control minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlObjective {
    /// Cross-entropy with the text.
    #[default]
    CrossEntropy,
    /// What the student does, with the same teacher.
    Distillation,
}

/// The student's shape from random weights, trained with the keys of `[distil]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// What it minimises.
    pub objective: ControlObjective,
}
