//! The stages in their order: what each reads and makes, and what it costs.

use serde::Serialize;

use super::{Assumptions, Flops};
use crate::model::ModelConfig;
use crate::prune::depth;
use crate::recipe::{Recipe, Train};
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

pub(super) fn of(
    recipe: &Recipe,
    flops: &Flops,
    [teacher, student]: [&ModelConfig; 2],
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
        let dropped = layers - student.num_hidden_layers;
        if prune.searches_layers() && dropped > 0 {
            let sequences = prune.calibration_sequences;
            let passes =
                float(depth::layer_forwards(layers, dropped) as u64) / float(layers as u64);
            let heads = float(1 + depth::gaps(layers, dropped).count() as u64);
            let each = float(flops.teacher.layers) * passes + float(flops.teacher.head) * heads;
            push(
                "depth",
                &["teacher", "tokens"],
                &["scores of layers"],
                format!("{} sequences, {passes:.1} forward passes each", thousands(sequences)),
                float(sequences) * float(seq_tokens) * each,
            );
        }
        let by = if prune.plan.is_some() { "prune.plan" } else { "scores" };
        push("prune", &["teacher", by], &["plan", "student"], "one cut".into(), 0.0);
    }
    let student = if recipe.prune.is_some() { "student" } else { "a copy of the teacher" };
    if let (Some(distil), Some(each)) = (&recipe.distil, flops.distil) {
        let (tokens, work) = training(distil, seq_tokens);
        push(
            "distil",
            &["teacher", student, "tokens"],
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
    let work = format!("{} sequences a model", thousands(recipe.evaluate.sequences));
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
