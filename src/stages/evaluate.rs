//! All models of the run on the same held-out text, and on the same multiple-choice items if there are any, in one pass.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dataflows::roles::{Feed, Fold, Staging, Work};
use dataflows::{At, Failure, Step};
use datasets::store::{Checkpoint, Checkpoints, write_atomic};
use kernels::loss::LossSums;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::commit::part;
use super::context::Context;
use super::data::Data;
use super::models;
use super::passes::{PassOver, pass_over};
use super::questions::questions;
use super::train::in_working_type;
use crate::distill::Batch;
use crate::error::Error;
use crate::eval::choice::answers::ask;
use crate::eval::choice::{Answers, Question, Questions};
use crate::eval::losses::{lesson, losses};
use crate::eval::{Accuracy, HeldOut, ModelReport, Report, Sums};
use crate::model::Decoder;

/// Its name.
pub const STAGE: &str = "evaluate";
/// Where the report lies in a run directory.
pub const REPORT: &str = "eval/held-out.json";
/// Where the rates lie: the clock does not say the same twice.
const RATES: &str = "timing/evaluate.json";
/// Steps between checkpoints.
const EVERY: u64 = 64;

/// The report, and tokens a second of each model's forward pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluated {
    /// The report.
    pub report: Report,
    /// By model.
    pub tokens_per_second: Vec<Option<f64>>,
}

/// Evaluates the run's models, if that is asked for and not done.
///
/// # Errors
/// See [`Error`].
pub fn evaluate(ctx: &Arc<Context>, data: &Data) -> Result<Option<Evaluated>, Error> {
    let is_done = ctx.run.seal(STAGE).is_some();
    if ctx.run.recipe.evaluate.sequences == 0 {
        if !is_done {
            ctx.run.write_seal(STAGE, json!({"models": []}))?;
        }
        return Ok(None);
    }
    if is_done && let Some(evaluated) = read(&ctx.run.path) {
        return Ok(Some(evaluated));
    }
    let named: Vec<(&'static str, u64, Decoder)> = judged(ctx, data)?
        .into_iter()
        .map(|(name, decoder)| {
            (name, decoder.config.num_parameters(), in_working_type(ctx, &decoder))
        })
        .collect();
    let decoders: Vec<Decoder> = named.iter().map(|(.., decoder)| decoder.clone()).collect();
    let evaluate = &ctx.run.recipe.evaluate;
    let asked = evaluate.choices.as_ref().map(|path| {
        let shape = &decoders[0].config;
        questions(path, data, shape, evaluate.batch)
    });
    let asked = asked.transpose()?;
    let has_choices = asked.is_some();
    let reading = Reading { held_out: data.held_out.clone(), asked };
    let (count, steps) = (decoders.len(), reading.num_batches());
    let feed = move |_| reading.clone();
    let work = move |_| Judging { models: decoders.clone() };
    let (shared, rates) = (Arc::clone(ctx), Arc::new(std::sync::Mutex::new(vec![(0, 0.0); count])));
    let clock = Arc::clone(&rates);
    let fold = move |checkpoint: Option<&Checkpoint>, checkpoints| {
        shared.progress.begin(
            STAGE,
            "batches",
            checkpoint.map_or(0, |checkpoint| checkpoint.step),
            steps,
        );
        let sums = match checkpoint {
            Some(checkpoint) => Sums::read(&checkpoint.dir, count, has_choices)?,
            None => Sums::zeros(count, has_choices),
        };
        Ok(Summing { ctx: shared, sums, clock, checkpoints })
    };
    let form = PassOver { stage: STAGE, steps, shards: 1, every: EVERY };
    let checkpoint = pass_over(ctx, form, feed, work, fold, &ctx.stop)?;
    let sums = Sums::read(&checkpoint.dir, count, has_choices)?;
    let models = named.iter().enumerate().map(|(i, (name, parameters, _))| {
        let report = ModelReport::of(name, *parameters, &sums.losses[i], true, data.text);
        let choices = sums.answers.as_ref().map(|answers| Accuracy::of(&answers[i]));
        ModelReport { choices, ..report }
    });
    let report = Report {
        sequences: data.held_out.num_sequences(),
        seq_tokens: ctx.run.recipe.tokens.seq_tokens,
        entropy: data.text.entropy,
        models: models.collect(),
    };
    let rates = rates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    let tokens_per_second: Vec<Option<f64>> = rates
        .iter()
        .map(|(tokens, seconds)| (*tokens > 0).then(|| *tokens as f64 / seconds))
        .collect();
    write_json(&ctx.run.path.join(RATES), &tokens_per_second)?;
    write_json(&ctx.run.path.join(REPORT), &report)?;
    ctx.progress.end("");
    ctx.run.write_seal(
        STAGE,
        json!({"models": named.iter().map(|(name, ..)| name).collect::<Vec<_>>()}),
    )?;
    Ok(Some(Evaluated { report, tokens_per_second }))
}

/// What was found, if it was.
pub fn read(run: &Path) -> Option<Evaluated> {
    let report = serde_json::from_slice(&std::fs::read(run.join(REPORT)).ok()?).ok()?;
    let rates = std::fs::read(run.join(RATES)).ok();
    let tokens_per_second =
        rates.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    Some(Evaluated { report, tokens_per_second })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let malformed = |error: serde_json::Error| Error::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let text = serde_json::to_string_pretty(value).map_err(malformed)?;
    write_atomic(path, |file| writeln!(file, "{text}"))?;
    Ok(())
}

/// The models, the teacher first: it is what the others are compared with.
fn judged(ctx: &Context, data: &Data) -> Result<Vec<(&'static str, Decoder)>, Error> {
    let recipe = &ctx.run.recipe;
    let teacher = models::teacher(ctx, data)?;
    let pruned = models::pruned(ctx, &models::original_of(ctx, data, &teacher)?)?;
    let config = pruned.config.clone();
    let mut judged = vec![("teacher", teacher)];
    if recipe.correct.is_some() {
        judged.push(("uncorrected", models::uncorrected(ctx, data)?));
    }
    if recipe.prune.is_some() {
        judged.push(("pruned", pruned));
    }
    if recipe.distil.is_some() {
        judged.push(("student", models::trained(ctx, "distil", &config)?));
    }
    if recipe.control.is_some() {
        judged.push(("control", models::trained(ctx, "control", &config)?));
    }
    Ok(judged)
}

/// The held-out text, then the items.
#[derive(Clone)]
struct Reading {
    held_out: HeldOut,
    asked: Option<Questions>,
}

/// A micro-batch.
enum Read {
    Text(Batch),
    Items(Vec<Question>),
}

impl Reading {
    fn num_batches(&self) -> u64 {
        self.held_out.num_batches() + self.asked.as_ref().map_or(0, Questions::num_batches)
    }
}

impl Feed for Reading {
    type Batch = Read;

    fn feed(&mut self, at: At) -> Result<Read, Failure> {
        let behind = at.step.0.checked_sub(self.held_out.num_batches());
        let items = behind.and_then(|index| self.asked.as_ref()?.batch(index));
        Ok(items.map_or_else(|| Read::Text(self.held_out.batch(at.step.0)), Read::Items))
    }
}

/// What the models, one after the other, made of a micro-batch.
#[derive(Serialize, Deserialize)]
enum Judged {
    /// With the seconds that it took.
    Text(Vec<(LossSums, f64)>),
    Items(Vec<Answers>),
}

struct Judging {
    models: Vec<Decoder>,
}

impl Work for Judging {
    type Batch = Read;
    type Output = Judged;

    fn work(&mut self, _: At, read: Read) -> Result<Judged, Failure> {
        let batch = match read {
            Read::Text(batch) => batch,
            Read::Items(questions) => {
                let answers = self.models.iter().map(|model| ask(model, &questions));
                return Ok(Judged::Items(answers.collect()));
            }
        };
        let teacher = self.models.first().map(|teacher| lesson(teacher, &batch));
        let judge = |model: &Decoder| {
            let sums = losses(model, teacher.as_ref(), &batch);
            // The forward pass by itself: what the loss above costs beside it is not the model's.
            let begun = Instant::now();
            let _ = losses(model, None, &batch);
            (sums, begun.elapsed().as_secs_f64())
        };
        Ok(Judged::Text(self.models.iter().map(judge).collect()))
    }
}

struct Summing {
    ctx: Arc<Context>,
    sums: Sums,
    clock: Arc<std::sync::Mutex<Vec<(u64, f64)>>>,
    checkpoints: Arc<Checkpoints>,
}

impl Fold for Summing {
    type Input = Judged;

    fn fold(&mut self, at: At, judged: Judged) -> Result<(), Failure> {
        match judged {
            Judged::Text(judged) => {
                let mut clock =
                    self.clock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let sums = self.sums.losses.iter_mut().zip(clock.iter_mut());
                for ((sum, clock), (sums, seconds)) in sums.zip(judged) {
                    sum.add(&sums);
                    clock.0 += sums.tokens;
                    clock.1 += seconds;
                }
            }
            Judged::Items(judged) => {
                let answers = self.sums.answers.iter_mut().flatten();
                answers.zip(&judged).for_each(|(sum, answers)| sum.add(answers));
            }
        }
        self.ctx.progress.at(at.step.0 + 1, String::new);
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let (sums, checkpoints) = (self.sums.clone(), Arc::clone(&self.checkpoints));
        Box::new(move || {
            let dir = checkpoints.part_dir(step.0).map_err(Failure::of)?;
            let written = sums.write(&dir).map_err(Failure::of)?;
            Ok(written.into_iter().map(|(name, written)| part("fold", name, written)).collect())
        })
    }
}
