//! The stages in their order: what each reads and makes, and what it costs.

use serde::Serialize;

use super::{Assumptions, Flops, Forward};
use crate::model::ModelConfig;
use crate::prune::depth;
use crate::recipe::{Recipe, Train};
use crate::search::space;
use crate::units::{float, thousands};

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// What it reads.
    pub reads: Vec<String>,
    /// What it makes.
    pub makes: Vec<&'static str>,
    /// How much it does, in words.
    pub work: String,
    /// FLOPs; those of `distil` and `pretrain` without their evaluations.
    pub flops: f64,
    /// Seconds at the assumed rate.
    pub seconds: f64,
}

fn training(train: &Train, seq_tokens: u64) -> (u64, String) {
    let steps = train.steps_for(seq_tokens);
    let work = format!(
        "{} steps of {} sequences of {} tokens",
        thousands(steps),
        thousands(train.global_batch_size),
        thousands(seq_tokens)
    );
    (steps.saturating_mul(train.tokens_per_step(seq_tokens)), work)
}

/// How many candidates there are, and what they cost at most: each as much as the dearest. Nothing without a search.
fn search_of(recipe: &Recipe, teacher: &ModelConfig) -> Option<(String, f64)> {
    let (search, prune) = (recipe.search.as_ref()?, recipe.prune.as_ref()?);
    let seq_tokens = recipe.tokens.seq_tokens;
    let shapes = space::shapes(recipe, prune, search, teacher).ok()?;
    let fit = space::fitting(&shapes, search, seq_tokens, None).ok()?;
    let dearest = fit
        .iter()
        .map(|shape| Forward::of(&shape.config, seq_tokens))
        .max_by_key(Forward::total)?;
    let zero_shot = float(search.zero_shot_sequences) * float(seq_tokens) * float(fit.len() as u64);
    let mut flops = zero_shot * float(dearest.total());
    let fields = search.fields(fit.len());
    if let Some(distil) = &recipe.distil {
        let each = dearest.train(distil.recompute) + Forward::of(teacher, seq_tokens).total();
        let mut before = 0;
        for (field, tokens) in fields.iter().zip(&search.tokens) {
            flops +=
                float(*field as u64) * float(tokens.get().saturating_sub(before)) * float(each);
            before = tokens.get();
        }
    }
    let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
    let trained = if fields.is_empty() {
        "none trained".to_owned()
    } else {
        format!("{} trained", fields.join(", then "))
    };
    let work = format!("{} of {} shapes within the budget, {trained}", fit.len(), shapes.len());
    Some((work, flops))
}

pub(super) fn of(
    recipe: &Recipe,
    flops: &Flops,
    teacher: &ModelConfig,
    device: &Assumptions,
) -> Vec<Stage> {
    let seq_tokens = recipe.tokens.seq_tokens;
    let mut stages = Vec::new();
    let mut push = |name, reads: &[&str], makes: &[&'static str], work: String, flops: f64| {
        let reads = reads.iter().map(ToString::to_string).collect();
        stages.push(Stage {
            name,
            reads,
            makes: makes.into(),
            work,
            flops,
            seconds: device.seconds(flops),
        });
    };
    let mut sources: Vec<String> = recipe.data.keys().map(|name| format!("data.{name}")).collect();
    if sources.is_empty() {
        sources.push("data.corpus".into());
    }
    let mut reads: Vec<&str> = sources.iter().map(String::as_str).collect();
    reads.push("tokenizer");
    let seen = format!("{}% held out", recipe.tokens.held_out * 100.0);
    push("prepare", &reads, &["tokens", "held-out tokens"], seen, 0.0);
    if let (Some(pretrain), Some(each)) = (&recipe.pretrain, flops.pretrain) {
        let (tokens, work) = training(&pretrain.train(), seq_tokens);
        push("pretrain", &["tokens"], &["teacher"], work, float(tokens) * float(each));
    }
    if let (Some(correct), Some(each)) = (recipe.correction_before(), flops.correct) {
        let (tokens, work) = training(&correct, seq_tokens);
        push("correct", &["teacher", "tokens"], &["teacher"], work, float(tokens) * float(each));
    }
    if let Some(capture) = &recipe.capture {
        let work =
            format!("every sample that is not there, {} kept; FLOPs not counted", capture.profile);
        push("capture", &["teacher", "tokens"], &["logits"], work, 0.0);
    }
    if let Some(prune) = &recipe.prune {
        let sequences = prune.observed_sequences();
        let tokens = float(sequences) * float(seq_tokens);
        let work = match (&prune.importance, sequences) {
            (Some(path), _) => format!("reads {path}"),
            (None, 0) => "weights alone".to_owned(),
            _ => format!("{} sequences, forward only", thousands(sequences)),
        };
        if prune.plan.is_none() {
            let flops = tokens * float(flops.teacher.total());
            push("observe", &["teacher", "tokens"], &["scores"], work, flops);
        }
        let layers = teacher.num_hidden_layers;
        let lengths = recipe.dropped_layers(teacher).unwrap_or_default();
        if !lengths.is_empty() {
            let sequences = prune.calibration_sequences;
            let passes =
                float(depth::layer_forwards(layers, &lengths) as u64) / float(layers as u64);
            let heads = float(1 + depth::gaps(layers, &lengths).count() as u64);
            let each = float(flops.teacher.layers) * passes + float(flops.teacher.head) * heads;
            let tokens = float(sequences) * float(seq_tokens);
            let seen = format!("{} sequences", thousands(sequences));
            // How many tokens items have is not in the recipe.
            let (reads, what, flops) = match &prune.depth_task {
                Some(path) => (path.as_str(), format!("each choice of {path}"), 0.0),
                None => ("tokens", seen, tokens * each),
            };
            let uncounted = if prune.depth_task.is_some() { "; FLOPs not counted" } else { "" };
            let work = format!("{what}, {passes:.1} forward passes each{uncounted}");
            push("depth", &["teacher", reads], &["scores of layers"], work, flops);
        }
        if let Some((work, flops)) = search_of(recipe, teacher) {
            push("search", &["teacher", "scores", "tokens"], &["the student's shape"], work, flops);
        }
        let by = if prune.plan.is_some() { "prune.plan" } else { "scores" };
        push("prune", &["teacher", by], &["plan", "student"], "one cut".into(), 0.0);
    }
    let student = if recipe.prune.is_some() { "student" } else { "a copy of the teacher" };
    if let (Some(distil), Some(each)) = (&recipe.distil, flops.distil) {
        let (tokens, work) = training(distil, seq_tokens);
        push(
            "distil",
            &[if recipe.logits.is_some() { "logits" } else { "teacher" }, student, "tokens"],
            &["student"],
            work.clone(),
            float(tokens) * float(each),
        );
        if let Some(each) = flops.control {
            push(
                "control",
                &["random weights", "tokens"],
                &["control"],
                work,
                float(tokens) * float(each),
            );
        }
    }
    let has_student = recipe.prune.is_some() || recipe.distil.is_some();
    let mut judged = vec![("teacher", flops.teacher.total())];
    if has_student {
        judged.push(("student", flops.student.total()));
    }
    if flops.control.is_some() {
        judged.push(("control", flops.student.total()));
    }
    let tokens = float(recipe.evaluate.sequences) * float(seq_tokens);
    let once = tokens * judged.iter().map(|(_, each)| float(*each)).sum::<f64>();
    let mut reads: Vec<&str> = judged.iter().map(|(name, _)| *name).collect();
    reads.push("held-out tokens");
    let mut work = format!("{} sequences a model", thousands(recipe.evaluate.sequences));
    if let Some(path) = &recipe.evaluate.choices {
        reads.push(path);
        work.push_str(&format!(", and each choice of {path} (FLOPs not counted)"));
    }
    push("evaluate", &reads, &["eval/*.json"], work, once);
    let made: Vec<(&str, &'static str)> = [
        (recipe.makes_teacher(), ("teacher", "models/teacher")),
        (has_student, ("student", "models/student")),
        (flops.control.is_some(), ("control", "models/control")),
    ]
    .into_iter()
    .filter_map(|(made, model)| made.then_some(model))
    .collect();
    if !made.is_empty() {
        let (reads, makes): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        push("export", &reads, &makes, "Hugging Face directories".into(), 0.0);
    }
    stages
}
