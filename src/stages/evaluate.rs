//! All models of the run on the same held-out text, in one pass.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dataflows::roles::{Feed, Fold, Staging, Work};
use dataflows::{At, Failure, Step};
use datasets::store::{Checkpoint, Checkpoints, write_atomic};
use datasets::table::{Column, Table};
use kernels::loss::LossSums;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::commit::part;
use super::context::Context;
use super::data::Data;
use super::models;
use super::passes::{PassOver, pass_over};
use super::train::in_working_type;
use crate::distill::Batch;
use crate::error::Error;
use crate::eval::losses::{lesson, losses};
use crate::eval::{HeldOut, ModelReport, Report};
use crate::model::Decoder;

/// Its name.
pub const STAGE: &str = "evaluate";
/// Where the report lies in a run directory.
pub const REPORT: &str = "eval/held-out.json";
/// Where the rates lie: the clock does not say the same twice.
const RATES: &str = "timing/evaluate.json";
/// Steps between checkpoints.
const EVERY: u64 = 64;
const SUMS: &str = "sums.parquet";

/// The report, and tokens a second of each model's forward pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluated {
    /// The report.
    pub report: Report,
    /// By model.
    pub tokens_per_second: Vec<Option<f64>>,
}

/// Evaluates the run's models, if that is not done.
///
/// # Errors
/// See [`Error`].
pub fn evaluate(ctx: &Arc<Context>, data: &Data) -> Result<Evaluated, Error> {
    if ctx.run.seal(STAGE).is_some()
        && let Some(evaluated) = read(&ctx.run.path)
    {
        return Ok(evaluated);
    }
    let named: Vec<(&'static str, u64, Decoder)> = judged(ctx, data)?
        .into_iter()
        .map(|(name, decoder)| {
            (name, decoder.config.num_parameters(), in_working_type(ctx, &decoder))
        })
        .collect();
    let decoders: Vec<Decoder> = named.iter().map(|(.., decoder)| decoder.clone()).collect();
    let (count, steps) = (decoders.len(), data.held_out.num_batches());
    let held_out = data.held_out.clone();
    let feed = move |_| Feeding { held_out: held_out.clone() };
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
            Some(checkpoint) => read_sums(&checkpoint.dir.join(SUMS), count)?,
            None => vec![LossSums::default(); count],
        };
        Ok(Summing { ctx: shared, sums, clock, checkpoints })
    };
    let form = PassOver { stage: STAGE, steps, shards: 1, every: EVERY };
    let checkpoint = pass_over(ctx, form, feed, work, fold, &ctx.stop)?;
    let sums = read_sums(&checkpoint.dir.join(SUMS), count)?;
    let models = named.iter().zip(&sums).map(|((name, parameters, _), sums)| {
        ModelReport::of(name, *parameters, sums, true, data.text)
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
    Ok(Evaluated { report, tokens_per_second })
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

struct Feeding {
    held_out: HeldOut,
}

impl Feed for Feeding {
    type Batch = Batch;

    fn feed(&mut self, at: At) -> Result<Batch, Failure> {
        Ok(self.held_out.batch(at.step.0))
    }
}

struct Judging {
    models: Vec<Decoder>,
}

impl Work for Judging {
    type Batch = Batch;
    /// By model, with the seconds it took.
    type Output = Vec<(LossSums, f64)>;

    fn work(&mut self, _: At, batch: Batch) -> Result<Self::Output, Failure> {
        let teacher = self.models.first().map(|teacher| lesson(teacher, &batch));
        let judge = |model: &Decoder| {
            let sums = losses(model, teacher.as_ref(), &batch);
            // The forward pass by itself: what the loss above costs beside it is not the model's.
            let begun = Instant::now();
            let _ = losses(model, None, &batch);
            (sums, begun.elapsed().as_secs_f64())
        };
        Ok(self.models.iter().map(judge).collect())
    }
}

struct Summing {
    ctx: Arc<Context>,
    sums: Vec<LossSums>,
    clock: Arc<std::sync::Mutex<Vec<(u64, f64)>>>,
    checkpoints: Arc<Checkpoints>,
}

impl Fold for Summing {
    type Input = Vec<(LossSums, f64)>;

    fn fold(&mut self, at: At, judged: Self::Input) -> Result<(), Failure> {
        let mut clock = self.clock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for ((sum, clock), (sums, seconds)) in
            self.sums.iter_mut().zip(clock.iter_mut()).zip(judged)
        {
            sum.add(&sums);
            clock.0 += sums.tokens;
            clock.1 += seconds;
        }
        self.ctx.progress.at(at.step.0 + 1, String::new);
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let (sums, checkpoints) = (self.sums.clone(), Arc::clone(&self.checkpoints));
        Box::new(move || {
            let path = checkpoints.part_dir(step.0).map_err(Failure::of)?.join(SUMS);
            let written = sums_table(&sums).write(&path).map_err(Failure::of)?;
            Ok(vec![part("fold", SUMS, written)])
        })
    }
}

fn sums_table(sums: &[LossSums]) -> Table {
    Table::new([
        ("tokens", Column::U64(sums.iter().map(|s| s.tokens).collect())),
        ("agreed", Column::U64(sums.iter().map(|s| s.agreed).collect())),
        ("cross_entropy", Column::F64(sums.iter().map(|s| s.cross_entropy).collect())),
        ("forward_kl", Column::F64(sums.iter().map(|s| s.forward_kl).collect())),
        (
            "teacher_cross_entropy",
            Column::F64(sums.iter().map(|s| s.teacher_cross_entropy).collect()),
        ),
    ])
}

fn read_sums(path: &Path, count: usize) -> Result<Vec<LossSums>, Error> {
    let table = Table::read(path)?;
    let malformed = || Error::Malformed {
        path: path.to_owned(),
        reason: format!("expected the sums of {count} models"),
    };
    let counts = |name| match table.column(name) {
        Some(Column::U64(values)) if values.len() == count => Ok(values),
        _ => Err(malformed()),
    };
    let numbers = |name| match table.column(name) {
        Some(Column::F64(values)) if values.len() == count => Ok(values),
        _ => Err(malformed()),
    };
    let (tokens, agreed) = (counts("tokens")?, counts("agreed")?);
    let (cross_entropy, forward_kl) = (numbers("cross_entropy")?, numbers("forward_kl")?);
    let teacher = numbers("teacher_cross_entropy")?;
    let sums = |i: usize| LossSums {
        tokens: tokens[i],
        cross_entropy: cross_entropy[i],
        forward_kl: forward_kl[i],
        agreed: agreed[i],
        teacher_cross_entropy: teacher[i],
    };
    Ok((0..count).map(sums).collect())
}
