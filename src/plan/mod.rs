//! What a run will do, before any work: stages, shapes, parameters, FLOPs, bytes, time.
//!
//! A plan is a pure function of the recipe, the teacher's shape and the assumptions about the device. Each
//! number is exact or an upper bound, and says by which formula; what is assumed is printed with it.

mod assumptions;
mod disk;
mod flops;
mod memory;
mod render;
mod shape;
mod stages;

use serde::Serialize;

pub use assumptions::{Assumptions, DEFAULT_TFLOPS, Working};
pub use flops::{Flops, Forward};
pub use shape::{Parameters, ShapeRow};
pub use stages::Stage;

use crate::model::config::ModelConfig;
use crate::recipe::{Recipe, RecipeError};

/// A number of bytes, and what it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// What lies there.
    pub what: &'static str,
    /// How many bytes.
    pub bytes: u64,
    /// How it was reckoned.
    pub formula: String,
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The recipe's.
    pub description: String,
    /// Keys that must be set before the recipe can run.
    pub missing: Vec<String>,
    /// What was assumed.
    pub assumptions: Assumptions,
    /// The stages in their order, with their FLOPs and time.
    pub stages: Vec<Stage>,
    /// Each size before and after.
    pub shapes: Vec<ShapeRow>,
    /// The teacher's parameters.
    pub teacher: Parameters,
    /// The student's parameters.
    pub student: Parameters,
    /// The student's share of the teacher's parameters.
    pub ratio: f64,
    /// FLOPs a token.
    pub flops: Flops,
    /// Steps and tokens of the distillation, if there is one.
    pub distil_steps: Option<u64>,
    /// Tokens of the distillation, if there is one.
    pub distil_tokens: Option<u64>,
    /// Bytes on each device while distilling.
    pub memory: Vec<Bytes>,
    /// Bytes on disk.
    pub disk: Vec<Bytes>,
    /// FLOPs of all stages.
    pub total_flops: f64,
    /// Seconds of all stages at the assumed rate.
    pub total_seconds: f64,
}

impl Plan {
    /// The plan of a recipe for a teacher of that shape.
    ///
    /// # Errors
    ///
    /// If the student's shape cannot be cut out of the teacher, see [`Recipe::student_config`].
    pub fn of(
        recipe: &Recipe,
        teacher: &ModelConfig,
        device: &Assumptions,
    ) -> Result<Self, RecipeError> {
        let student = recipe.student_config(teacher)?;
        let seq_tokens = recipe.tokens.seq_tokens;
        let flops = Flops::of(recipe, teacher, &student);
        let stages = stages::of(recipe, &flops, teacher, device);
        let (before, after) = (Parameters::of(teacher), Parameters::of(&student));
        let steps = recipe.distil.as_ref().map(|distil| distil.steps_for(seq_tokens));
        let tokens = recipe.distil.as_ref().zip(steps);
        Ok(Self {
            description: recipe.description.clone(),
            missing: recipe.missing(),
            assumptions: *device,
            shapes: shape::rows(teacher, &student),
            ratio: crate::units::float(after.total) / crate::units::float(before.total),
            memory: memory::of(recipe, teacher, &student, device),
            disk: disk::of(recipe, teacher, &student),
            total_flops: stages.iter().map(|stage| stage.flops).sum(),
            total_seconds: stages.iter().map(|stage| stage.seconds).sum(),
            teacher: before,
            student: after,
            flops,
            distil_steps: steps,
            distil_tokens: tokens
                .map(|(distil, n)| n.saturating_mul(distil.tokens_per_step(seq_tokens))),
            stages,
        })
    }

    /// Bytes on each device while distilling, all kinds together.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory.iter().fold(0, |sum, kind| sum.saturating_add(kind.bytes))
    }

    /// Bytes on disk, all kinds together.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk.iter().fold(0, |sum, kind| sum.saturating_add(kind.bytes))
    }
}

#[cfg(test)]
mod tests;
