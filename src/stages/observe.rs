//! Activation importance of the teacher over calibration sequences.

use std::path::Path;
use std::sync::Arc;

use dataflows::roles::{Fold, Staging, Work};
use dataflows::{At, Failure, InProcess, Step};
use datasets::store::{Checkpoint, Checkpoints};
use serde_json::json;

use super::calibration::Calibration;
use super::commit::part;
use super::context::Context;
use super::data::Data;
use super::passes::{PassOver, pass_over};
use super::watch::Watching;
use super::{models, train::in_working_type};
use crate::distill::Batch;
use crate::error::Error;
use crate::model::Decoder;
use crate::prune::written::{digest_scores, read_all};
use crate::prune::{Fingerprint, Importance, Residual, Score, Scores, Sites};
use crate::recipe::Prune;

/// Its name.
pub const STAGE: &str = "observe";
/// Micro-batches of a step.
const SHARDS: u32 = 4;
/// Steps between checkpoints.
const EVERY: u64 = 16;
const SUMS: &str = "importance.parquet";
const RESIDUAL: &str = "residual.parquet";
/// The sums in `scores/`, for other runs.
const SUMS_AT_REST: &str = "sums.parquet";

/// Scores the teacher's channels, neurons and heads, if the recipe prunes and it is not done: by a pass over
/// calibration sequences, by what another run measured, or by weights alone.
///
/// # Errors
/// [`Error::Importance`] if a sum or a score is not finite; [`Error::Sums`] if another run's are another teacher's; see
/// [`Error`].
pub fn observe(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let prune = ctx.run.recipe.prune.as_ref().filter(|prune| prune.plan.is_none());
    let Some(prune) = prune else { return Ok(()) };
    let sequences = prune.observed_sequences();
    let steps = sequences.div_ceil(prune.calibration_batch * u64::from(SHARDS));
    let is_done = match steps {
        0 => ctx.run.seal(STAGE).is_some(),
        _ => ctx.run.is_done(STAGE, steps)?,
    };
    // Scores that were damaged since are made again of the sums.
    if is_done && (ctx.run.is_over() || written(ctx).is_some()) {
        return Ok(());
    }
    let uncut = models::uncut(ctx, data)?;
    ctx.run.recipe.student_config(&models::teacher_config(ctx, data)?)?;
    measure(ctx, data, prune, &uncut)
}

/// Scores a model, and seals the stage.
///
/// # Errors
/// As [`observe`].
pub fn measure(
    ctx: &Arc<Context>,
    data: &Data,
    prune: &Prune,
    teacher: &Decoder,
) -> Result<(), Error> {
    let sequences = prune.observed_sequences();
    let steps = sequences.div_ceil(prune.calibration_batch * u64::from(SHARDS));
    if sequences > 0 {
        data.enough(STAGE, sequences)?;
        pass(ctx, data, prune, teacher, steps)?;
    }
    let importance = observed(ctx, data, prune, teacher)?;
    let dir = ctx.run.path.join("scores");
    datasets::store::create_dir_all(&dir)?;
    if let Some((importance, of)) = &importance {
        importance.write(&dir.join(SUMS_AT_REST), of)?;
    }
    let importance = importance.map(|(importance, _)| importance);
    scored(ctx, prune, importance.as_ref(), teacher)?.write(&dir)?;
    let seen = importance.map_or(0, |importance| importance.samples);
    match &prune.importance {
        Some(path) => {
            ctx.progress.say(&format!("{STAGE:>9}: {seen} sequences, as `{path}` has them"));
        }
        None if sequences == 0 => {
            let by = if prune.score.weighs() { "weights alone" } else { "drawn" };
            ctx.progress.say(&format!("{STAGE:>9}: {by}"));
        }
        None => {}
    }
    let digest = digest_scores(&dir)?;
    ctx.run.write_seal(STAGE, json!({"sequences": seen, "scores": digest}))?;
    Ok(())
}

/// The pass over calibration sequences; the sums are in its last checkpoint.
fn pass(
    ctx: &Arc<Context>,
    data: &Data,
    prune: &Prune,
    teacher: &Decoder,
    steps: u64,
) -> Result<(), Error> {
    let (batch, end, sites) = (prune.calibration_batch, prune.calibration_sequences, prune.sites);
    let config = teacher.config.clone();
    let of = Fingerprint::of(teacher, data.header.tokenizer);
    let calibration = Calibration::of(ctx, data, prune, SHARDS);
    let feed = move |_| calibration.clone();
    let observer = in_working_type(ctx, teacher);
    let power = prune.norm_compensation;
    let work = move |_| Observing { teacher: observer.clone(), sites, power };
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
            Some(checkpoint) => {
                Importance::read_of(&checkpoint.dir.join(SUMS), &config, &of, sites)?
            }
            None => Importance::zeros(&config, sites),
        };
        let residual = match checkpoint.filter(|_| power) {
            Some(checkpoint) => Some(Residual::read(&checkpoint.dir.join(RESIDUAL), &config)?),
            None => power.then(|| Residual::zeros(&config)),
        };
        Ok(Summing { ctx: shared, sums, of, residual, watching: watched, checkpoints })
    };
    let form = PassOver { stage: STAGE, steps, shards: SHARDS, every: EVERY };
    let checkpoint = pass_over(ctx, form, feed, work, fold, &ctx.stop)?;
    if power
        && let Some((layer, site)) =
            Residual::read(&checkpoint.dir.join(RESIDUAL), &teacher.config)?.not_finite()
    {
        return Err(Error::Importance { layer, site });
    }
    watching.write(ctx, STAGE)?;
    ctx.progress.end(&format!("{end} sequences, {}", watching.said()));
    Ok(())
}

/// The sums that the scores are made of, if any are: the pass's, or another run's.
fn observed(
    ctx: &Context,
    data: &Data,
    prune: &Prune,
    teacher: &Decoder,
) -> Result<Option<(Importance, Fingerprint)>, Error> {
    let sums = match &prune.importance {
        _ if !prune.score.observes() => return Ok(None),
        Some(path) => {
            let of = Fingerprint::of(teacher, data.header.tokenizer);
            (Importance::read_of(Path::new(path), &teacher.config, &of, prune.sites)?, of)
        }
        None => {
            Importance::read(&ctx.run.newest_checkpoint(STAGE)?.dir.join(SUMS), &teacher.config)?
        }
    };
    match sums.0.not_finite() {
        Some((layer, site)) => Err(Error::Importance { layer, site }),
        None => Ok(Some(sums)),
    }
}

/// The digest of the scores that the stage left, if it ran.
pub fn scores_digest(ctx: &Context) -> Option<String> {
    Some(ctx.run.seal(STAGE)?.result.get("scores")?.as_str()?.to_owned())
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

/// The scores that the recipe asks for.
fn scored(
    ctx: &Context,
    prune: &Prune,
    importance: Option<&Importance>,
    teacher: &Decoder,
) -> Result<Scores, Error> {
    let by = prune.aggregations();
    let scores = match importance {
        None if prune.score == Score::Random => {
            Scores::random(&teacher.config, ctx.run.recipe.seed)
        }
        None => Scores::magnitude(teacher),
        Some(sums) if prune.score.weighs() => Scores::product(sums, by, teacher),
        Some(sums) => Scores::activation(sums, by, &teacher.config),
    };
    match scores.not_finite() {
        Some((layer, site)) => Err(Error::Importance { layer, site }),
        None => Ok(scores),
    }
}

/// The scores that the stage left.
///
/// # Errors
/// [`Error::NoCheckpoint`] if they are not there as they were sealed.
pub fn scores(ctx: &Context) -> Result<Scores, Error> {
    written(ctx).ok_or_else(|| ctx.run.no_checkpoint(STAGE))
}

/// The scores, if they are as they were sealed.
fn written(ctx: &Context) -> Option<Scores> {
    let dir = ctx.run.path.join("scores");
    let is_sealed = digest_scores(&dir).ok() == scores_digest(ctx);
    is_sealed.then(|| read_all(&dir))?
}

/// What a micro-batch adds; the second if the recipe asks for it.
type Seen = (Importance, Option<Residual>);

struct Observing {
    teacher: Decoder,
    sites: Sites,
    power: bool,
}

impl Work for Observing {
    type Batch = Option<Batch>;
    type Output = InProcess<Option<Seen>>;

    fn work(&mut self, _: At, batch: Option<Batch>) -> Result<Self::Output, Failure> {
        let device = self.teacher.device();
        let seen = batch.map(|batch| {
            let (ids, documents) = (batch.inputs(&device), batch.documents());
            let mut residual = self.power.then(|| Residual::zeros(&self.teacher.config));
            let mut tap = |layer, site, x: &kernels::Tensor<2>| {
                if let Some(residual) = &mut residual {
                    residual.see(layer, site, x, batch.batch);
                }
            };
            let seen =
                Importance::beside(&self.teacher, &ids, documents.as_ref(), self.sites, &mut tap);
            (seen, residual)
        });
        Ok(InProcess(seen))
    }
}

struct Summing {
    ctx: Arc<Context>,
    sums: Importance,
    of: Fingerprint,
    residual: Option<Residual>,
    watching: Watching,
    checkpoints: Arc<Checkpoints>,
}

impl Fold for Summing {
    type Input = InProcess<Option<Seen>>;

    fn fold(&mut self, at: At, InProcess(seen): Self::Input) -> Result<(), Failure> {
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
        let (sums, of, checkpoints) = (self.sums.clone(), self.of, Arc::clone(&self.checkpoints));
        let residual = self.residual.clone();
        Box::new(move || {
            let dir = checkpoints.part_dir(step.0).map_err(Failure::of)?;
            let written = sums.write(&dir.join(SUMS), &of).map_err(Failure::of)?;
            let mut parts = vec![part("fold", SUMS, written)];
            if let Some(residual) = residual {
                let written = residual.write(&dir.join(RESIDUAL)).map_err(Failure::of)?;
                parts.push(part("fold", RESIDUAL, written));
            }
            Ok(parts)
        })
    }
}
