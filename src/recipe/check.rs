//! Whether the values of a recipe go together.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::check_train::{check_pretrain, check_train};
use super::prune::Depth;
use super::{Prune, Recipe, RecipeError, SCHEMA, Source, Split, TokenCount};

/// Longer sequences than any model's; what is computed of it stays within 64 bits.
const MAX_SEQ_TOKENS: u64 = 1 << 24;
pub(super) fn wrong(
    key: impl Into<String>,
    expected: impl Into<String>,
    found: impl Display,
) -> RecipeError {
    RecipeError::Value { key: key.into(), expected: expected.into(), found: found.to_string() }
}

pub(super) fn ensure(
    holds: bool,
    key: &str,
    expected: &str,
    found: impl Display,
) -> Result<(), RecipeError> {
    if holds { Ok(()) } else { Err(wrong(key, expected, found)) }
}

pub(super) fn not_both(first: (&str, bool), second: (&str, bool)) -> Result<(), RecipeError> {
    if first.1 && second.1 {
        return Err(RecipeError::Both { first: first.0.into(), second: second.0.into() });
    }
    Ok(())
}

pub(super) fn positive(table: &str, keys: &[(&str, u64)]) -> Result<(), RecipeError> {
    keys.iter().try_for_each(|(key, n)| ensure(*n > 0, &format!("{table}.{key}"), "1 or more", n))
}

impl Recipe {
    /// Whether the values go together, as far as can be said without the teacher.
    ///
    /// # Errors
    ///
    /// The first value that does not.
    pub fn check(&self) -> Result<(), RecipeError> {
        ensure(self.schema == SCHEMA, "schema", &SCHEMA.to_string(), self.schema)?;
        let (model, config) = (self.teacher.model.is_some(), self.teacher.config.is_some());
        not_both(("teacher.model", model), ("teacher.config", config))?;
        not_both(("teacher.model", model), ("pretrain", self.pretrain.is_some()))?;
        not_both(("teacher.config", config), ("pretrain", self.pretrain.is_some()))?;
        self.data
            .iter()
            .try_for_each(|(name, source)| check_source(&format!("data.{name}"), source))?;
        let seq_tokens = self.tokens.seq_tokens;
        let expected = format!("2 to {MAX_SEQ_TOKENS}");
        ensure(
            (2..=MAX_SEQ_TOKENS).contains(&seq_tokens),
            "tokens.seq_tokens",
            &expected,
            seq_tokens,
        )?;
        for (key, count) in [
            ("tokens.shuffle_window", self.tokens.shuffle_window.map(TokenCount::get)),
            ("tokens.max_document_tokens", self.tokens.max_document_tokens),
        ] {
            ensure(count != Some(0), key, "1 or more", 0)?;
        }
        let held_out = self.tokens.held_out;
        ensure(
            held_out > 0.0 && held_out < 1.0,
            "tokens.held_out",
            "a share between 0 and 1",
            held_out,
        )?;
        self.check_mixture()?;
        if let Some(pretrain) = &self.pretrain {
            check_pretrain(pretrain)?;
        }
        self.check_correct()?;
        if let Some(prune) = &self.prune {
            check_prune(prune)?;
        }
        if let Some(distil) = &self.distil {
            check_train("distil", distil)?;
        }
        self.check_search()?;
        if !self.then.is_empty() && (self.prune.is_none() || self.distil.is_none()) {
            let needed = if self.prune.is_none() { "prune" } else { "distil" };
            return Err(RecipeError::Alone { table: "then", needed });
        }
        self.losses.check()?;
        self.check_logits()?;
        if self.control.is_some() && self.distil.is_none() {
            return Err(RecipeError::Alone { table: "control", needed: "distil" });
        }
        if self.makes_teacher() || self.distil.is_some() {
            let (found, expected) =
                (self.evaluate.sequences, "1 or more, where a model is trained");
            ensure(found > 0, "evaluate.sequences", expected, found)?;
        }
        positive("evaluate", &[("batch", self.evaluate.batch)])?;
        let is_empty = self.evaluate.choices.as_deref() == Some("");
        ensure(!is_empty, "evaluate.choices", "a file of items", "an empty text")?;
        positive("export", &[("max_shard_bytes", self.export.max_shard_bytes.get())])
    }

    fn check_correct(&self) -> Result<(), RecipeError> {
        let Some(correct) = &self.correct else { return Ok(()) };
        if !correct.parallel {
            return check_train("correct", &correct.train());
        }
        not_both(("correct.steps", correct.steps.is_some()), ("correct.parallel", true))?;
        not_both(("correct.tokens", correct.tokens.is_some()), ("correct.parallel", true))?;
        match self.correction_beside() {
            Some(train) => check_train("correct", &train),
            None => Err(RecipeError::Alone { table: "correct", needed: "distil" }),
        }
    }

    /// Weights: all or none, numbers of 0 or more, one above 0 in each phase; phases in which every name is a source.
    fn check_mixture(&self) -> Result<(), RecipeError> {
        let is_weight = |key: &str, weight: f64| {
            let holds = weight >= 0.0 && weight.is_finite();
            ensure(holds, key, "a number, 0 or more", weight)
        };
        let mut weights = BTreeMap::new();
        for (name, source) in &self.data {
            let key = format!("data.{name}.weight");
            match source.weight {
                Some(weight) => is_weight(&key, weight)?,
                None if self.data.values().any(|source| source.weight.is_some()) => {
                    return Err(wrong(key, "a weight, as other sources have one", "none"));
                }
                None => {}
            }
            weights.insert(name.as_str(), source.weight.unwrap_or(1.0));
        }
        let any = |weights: &BTreeMap<&str, f64>, key: &str| {
            let holds = weights.is_empty() || weights.values().any(|weight| *weight > 0.0);
            ensure(holds, key, "a weight above 0 at one source at least", "all zero")
        };
        any(&weights, "data")?;
        let mut used: BTreeMap<&str, f64> = weights.clone();
        let mut phases: Vec<_> = self.mixture.iter().collect();
        phases.sort_by_key(|(_, phase)| phase.after);
        for (i, (name, phase)) in phases.iter().enumerate() {
            let table = format!("mixture.{name}");
            let before = i.checked_sub(1).map(|i| phases[i].1.after);
            let holds = phase.after.get() > 0 && before != Some(phase.after);
            ensure(holds, &format!("{table}.after"), "tokens of its own, above 0", phase.after)?;
            for (source, weight) in &phase.weights {
                let key = format!("{table}.{source}");
                is_weight(&key, *weight)?;
                let Some(held) = weights.get_mut(source.as_str()) else {
                    let known: Vec<_> = self.data.keys().map(String::as_str).collect();
                    return Err(wrong(key, format!("a source: {}", known.join(", ")), source));
                };
                *held = *weight;
            }
            any(&weights, &table)?;
            weights.iter().for_each(|(name, weight)| *used.entry(*name).or_default() += weight);
        }
        match used.iter().find(|(_, weight)| **weight <= 0.0) {
            Some((name, _)) => {
                let key = format!("data.{name}.weight");
                Err(wrong(key, "above 0 now or in a phase of the mixture, or no such source", 0))
            }
            None => Ok(()),
        }
    }
}

fn check_source(table: &str, source: &Source) -> Result<(), RecipeError> {
    let key = |name: &str| format!("{table}.{name}");
    let generated = source.generate.is_some();
    not_both((&key("path"), source.path.is_some()), (&key("generate"), generated))?;
    if let Some(path) = &source.path {
        ensure(!path.is_empty(), &key("path"), "a file, folder or glob", "an empty text")?;
    }
    if let Some(stories) = source.num_stories {
        ensure(generated, &key("num_stories"), "it beside `generate` alone", stories)?;
        ensure(stories > 0, &key("num_stories"), "1 or more", stories)?;
    }
    ensure(source.field.as_deref() != Some(""), &key("field"), "a name", "an empty text")?;
    if let Some(epochs) = source.epochs {
        ensure(epochs > 0, &key("epochs"), "1 or more", epochs)?;
    }
    ensure(!(generated && source.is_tokens()), &key("format"), "none beside `generate`", "tokens")?;
    let empty = source.split == Split::Delimiter(String::new());
    ensure(!empty, &key("split"), "a delimiter", "an empty text")
}

fn check_prune(prune: &Prune) -> Result<(), RecipeError> {
    positive(
        "prune",
        &[
            ("round_to", prune.round_to as u64),
            ("calibration_sequences", prune.calibration_sequences),
            ("calibration_batch", prune.calibration_batch),
            ("importance_steps", prune.importance_steps),
        ],
    )?;
    if let Some(path) = &prune.importance {
        ensure(!path.is_empty(), "prune.importance", "a file of sums", "an empty text")?;
        let expected = "none beside a `score` that looks at no activation";
        ensure(prune.score.observes(), "prune.importance", expected, path)?;
    }
    let in_steps = ("prune.importance_steps above 1", prune.importance_steps > 1);
    not_both(in_steps, ("prune.head_add_back", !prune.head_add_back.is_off()))?;
    not_both(in_steps, ("prune.plan", prune.plan.is_some()))?;
    ensure(prune.model.as_deref() != Some(""), "prune.model", "a directory", "an empty text")?;
    let searched = prune.num_hidden_layers.is_some();
    let listed = !prune.drop_layers.is_empty();
    not_both(("prune.num_hidden_layers", searched), ("prune.drop_layers", listed))?;
    if !searched {
        let expected = "it beside `prune.num_hidden_layers` alone";
        let by = prune.depth;
        ensure(by == Depth::default(), "prune.depth", expected, by.name())?;
        ensure(prune.depth_contiguous, "prune.depth_contiguous", expected, "false")?;
    }
    match (&prune.depth_task, prune.depth == Depth::Task) {
        (Some(path), by_task) => {
            ensure(!path.is_empty(), "prune.depth_task", "a file of items", "an empty text")?;
            let expected = "it beside `prune.depth = \"task\"` alone";
            ensure(by_task, "prune.depth_task", expected, path)?;
        }
        (None, by_task) => {
            let expected = "`prune.depth_task`, a file of multiple-choice items, beside `task`";
            ensure(!by_task, "prune.depth", expected, "none")?;
        }
    }
    ensure(prune.plan.as_deref() != Some(""), "prune.plan", "a plan's file", "an empty text")?;
    let mut layers = prune.drop_layers.clone();
    layers.sort_unstable();
    match layers.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(wrong("prune.drop_layers", "each layer once", format!("layer {} twice", pair[0])))
        }
        None => Ok(()),
    }
}
