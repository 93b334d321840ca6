//! Activation importance of the teacher over calibration sequences.

use std::path::Path;
use std::sync::Arc;

use dataflows::roles::{Feed, Fold, Staging, Work};
use dataflows::{At, Failure, Step};
use datasets::loader::Loader;
use datasets::store::{Checkpoint, Checkpoints};
use serde_json::json;

use super::commit::part;
use super::context::Context;
use super::data::Data;
use super::passes::{PassOver, pass_over};
use super::train::feed::sequences;
use super::watch::Watching;
use super::{models, train::in_working_type};
use crate::distill::Batch;
use crate::error::Error;
use crate::model::Decoder;
use crate::prune::{Importance, Residual};

/// Its name.
pub const STAGE: &str = "observe";
/// Micro-batches of a step.
const SHARDS: u32 = 4;
/// Steps between checkpoints.
const EVERY: u64 = 16;
const SUMS: &str = "importance.parquet";
const RESIDUAL: &str = "residual.parquet";

/// Measures importance, if the recipe prunes and it is not measured.
///
/// # Errors
/// [`Error::Importance`] if a sum is not finite; see [`Error`].
pub fn observe(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(prune) = &ctx.run.recipe.prune else { return Ok(()) };
    let (batch, end) = (prune.calibration_batch, prune.calibration_sequences);
    let steps = end.div_ceil(batch * u64::from(SHARDS));
    if ctx.run.is_done(STAGE, steps)? {
        return Ok(());
    }
    let teacher = models::original(ctx, data)?;
    ctx.run.recipe.student_config(&teacher.config)?;
    let config = teacher.config.clone();
    data.enough(STAGE, end)?;
    let loader = Arc::clone(&data.train);
    let apart = ctx.run.recipe.tokens.document_mask;
    let feed = move |_| Feeding { loader: Arc::clone(&loader), apart, batch, end };
    let observer = in_working_type(ctx, &teacher);
    let power = prune.norm_compensation;
    let work = move |_| Observing { teacher: observer.clone(), power };
    let (shared, watching) = (Arc::clone(ctx), Watching::new(&data.train, batch));
    let watched = watching.clone();
    let fold = move |checkpoint: Option<&Checkpoint>, checkpoints| {
        shared.progress.begin(
            STAGE,
            "steps",
            checkpoint.map_or(0, |checkpoint| checkpoint.step),
            steps,
        );
        let sums = match checkpoint {
            Some(checkpoint) => read(&checkpoint.dir, &config)?,
            None => Importance::zeros(&config),
        };
        let residual = match checkpoint.filter(|_| power) {
            Some(checkpoint) => Some(Residual::read(&checkpoint.dir.join(RESIDUAL), &config)?),
            None => power.then(|| Residual::zeros(&config)),
        };
        Ok(Summing { ctx: shared, sums, residual, watching: watched, checkpoints })
    };
    let form = PassOver { stage: STAGE, steps, shards: SHARDS, every: EVERY };
    let checkpoint = pass_over(ctx, form, feed, work, fold, &ctx.stop)?;
    let sums = read(&checkpoint.dir, &teacher.config)?;
    if let Some((layer, site)) = sums.not_finite() {
        return Err(Error::Importance { layer, site });
    }
    if power
        && let Some((layer, site)) =
            Residual::read(&checkpoint.dir.join(RESIDUAL), &teacher.config)?.not_finite()
    {
        return Err(Error::Importance { layer, site });
    }
    let scores = ctx.run.path.join("scores");
    datasets::store::create_dir_all(&scores)?;
    sums.write_scores(&scores)?;
    let timing = ctx.run.path.join("timing").join(STAGE);
    datasets::store::create_dir_all(&timing)?;
    let incarnation = ctx.run.events.incarnation();
    watching.table().write(&timing.join(format!("data-{incarnation}.parquet")))?;
    ctx.progress.end(&format!("{} sequences, {}", sums.samples, watching.said()));
    ctx.run.write_seal(STAGE, json!({"sequences": sums.samples}))?;
    Ok(())
}

/// The sums that the stage left.
///
/// # Errors
/// [`Error::NoCheckpoint`] if it left none.
pub fn importance(ctx: &Context, teacher: &crate::model::ModelConfig) -> Result<Importance, Error> {
    read(&ctx.run.newest_checkpoint(STAGE)?.dir, teacher)
}

/// The power of the residual stream that the stage left, if the recipe asks for it.
///
/// # Errors
/// [`Error::NoCheckpoint`] if it left none.
pub fn residual(
    ctx: &Context,
    teacher: &crate::model::ModelConfig,
) -> Result<Option<Residual>, Error> {
    if !ctx.run.recipe.prune.as_ref().is_some_and(|prune| prune.norm_compensation) {
        return Ok(None);
    }
    let path = ctx.run.newest_checkpoint(STAGE)?.dir.join(RESIDUAL);
    Ok(Some(Residual::read(&path, teacher)?))
}

fn read(dir: &Path, config: &crate::model::ModelConfig) -> Result<Importance, Error> {
    Ok(Importance::read(&dir.join(SUMS), config)?)
}

struct Feeding {
    loader: Arc<Loader>,
    apart: bool,
    batch: u64,
    end: u64,
}

impl Feed for Feeding {
    /// None where the last step has fewer micro-batches.
    type Batch = Option<Batch>;

    fn feed(&mut self, at: At) -> Result<Option<Batch>, Failure> {
        let first = (at.step.0 * u64::from(SHARDS) + u64::from(at.shard)) * self.batch;
        let last = (first + self.batch).min(self.end);
        let sequences = sequences(&self.loader, first..last).map_err(Failure::of)?;
        Ok((!sequences.is_empty()).then(|| Batch::new(&sequences, self.apart)))
    }
}

/// What a micro-batch adds; the second if the recipe asks for it.
type Seen = (Importance, Option<Residual>);

struct Observing {
    teacher: Decoder,
    power: bool,
}

impl Work for Observing {
    type Batch = Option<Batch>;
    type Output = Option<Seen>;

    fn work(&mut self, _: At, batch: Option<Batch>) -> Result<Option<Seen>, Failure> {
        let device = self.teacher.device();
        Ok(batch.map(|batch| {
            let (ids, documents) = (batch.inputs(&device), batch.documents());
            let mut residual = self.power.then(|| Residual::zeros(&self.teacher.config));
            let mut tap = |layer, site, x: &kernels::Tensor<2>| {
                if let Some(residual) = &mut residual {
                    residual.see(layer, site, x, batch.batch);
                }
            };
            let seen = Importance::beside(&self.teacher, &ids, documents.as_ref(), &mut tap);
            (seen, residual)
        }))
    }
}

struct Summing {
    ctx: Arc<Context>,
    sums: Importance,
    residual: Option<Residual>,
    watching: Watching,
    checkpoints: Arc<Checkpoints>,
}

impl Fold for Summing {
    type Input = Option<Seen>;

    fn fold(&mut self, at: At, seen: Option<Seen>) -> Result<(), Failure> {
        if let Some((importance, residual)) = seen {
            self.sums.add(&importance);
            if let (Some(sum), Some(residual)) = (&mut self.residual, &residual) {
                sum.add(residual);
            }
        }
        if at.shard + 1 == SHARDS {
            self.ctx.progress.at(at.step.0 + 1, || self.watching.said());
        }
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let (sums, checkpoints) = (self.sums.clone(), Arc::clone(&self.checkpoints));
        let residual = self.residual.clone();
        Box::new(move || {
            let dir = checkpoints.part_dir(step.0).map_err(Failure::of)?;
            let written = sums.write(&dir.join(SUMS)).map_err(Failure::of)?;
            let mut parts = vec![part("fold", SUMS, written)];
            if let Some(residual) = residual {
                let written = residual.write(&dir.join(RESIDUAL)).map_err(Failure::of)?;
                parts.push(part("fold", RESIDUAL, written));
            }
            Ok(parts)
        })
    }
}
