//! What the arms were worth, by seed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::curves::Line;
use crate::search::report::Found;
use crate::stages::{evaluate, search};
use crate::trends::compare::mean_sd;
use crate::units::float;

/// What one run of an arm was worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Held-out cross-entropy by model: `teacher`, `pruned`, `student`, `control`, and `then.<name>`.
    pub losses: BTreeMap<String, f64>,
    /// Share of the probe's items that are answered right, by model, where there is a probe.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answered: BTreeMap<String, f64>,
    /// The student's by step.
    pub curve: Vec<(u64, f64)>,
    /// What a search found.
    pub found: Option<Found>,
}

impl Outcome {
    /// Of a finished run; none if it is not.
    #[must_use]
    pub fn read(run: &Path) -> Option<Self> {
        let (mut losses, mut answered) = (BTreeMap::new(), BTreeMap::new());
        for model in evaluate::read(run)?.report.models {
            answered.extend(model.choices.map(|choices| (model.model.clone(), choices.acc)));
            losses.insert(model.model, model.cross_entropy);
        }
        for entry in std::fs::read_dir(run.join("then")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let models = evaluate::read(&entry.path())?.report.models;
            let student = models.into_iter().find(|model| model.model == "student")?;
            losses.insert(format!("then.{name}"), student.cross_entropy);
        }
        let curve = search::curve(run).unwrap_or_default();
        Some(Self { losses, answered, curve, found: search::read(run) })
    }
}

/// All that is known, by arm: an outcome a seed, in the order of the seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// By arm.
    pub arms: BTreeMap<String, Vec<Outcome>>,
    /// Tokens of a step.
    pub step_tokens: u64,
}

impl Results {
    /// The loss of an arm's model by seed; none if one lacks it.
    #[must_use]
    pub fn losses(&self, arm: &str, model: &str) -> Option<Vec<f64>> {
        let outcomes = self.arms.get(arm).filter(|outcomes| !outcomes.is_empty())?;
        outcomes.iter().map(|outcome| outcome.losses.get(model).copied()).collect()
    }

    /// The share that an arm's model answers right, by seed; none if one lacks it.
    #[must_use]
    pub fn answered(&self, arm: &str, model: &str) -> Option<Vec<f64>> {
        let outcomes = self.arms.get(arm).filter(|outcomes| !outcomes.is_empty())?;
        outcomes.iter().map(|outcome| outcome.answered.get(model).copied()).collect()
    }

    /// The mean curve of an arm, with its spread; it begins with the loss after surgery.
    #[must_use]
    pub fn line(&self, arm: &str, name: &str) -> Option<Line> {
        let outcomes = self.arms.get(arm)?;
        let first = self.losses(arm, "pruned").map(|losses| mean_sd(&losses));
        let begin = first.map(|(mean, sd)| (0.0, mean, sd));
        let steps: Vec<u64> = outcomes.first()?.curve.iter().map(|(step, _)| *step).collect();
        let point = |(i, step): (usize, &u64)| {
            let values: Vec<f64> =
                outcomes.iter().filter_map(|o| Some(o.curve.get(i)?.1)).collect();
            let (mean, sd) = mean_sd(&values);
            (float(step * self.step_tokens), mean, sd)
        };
        let points = begin.into_iter().chain(steps.iter().enumerate().map(point)).collect();
        Some(Line { name: name.to_owned(), points, is_minor: false })
    }
}
