//! The stages that train: one student, with a teacher or without.
//!
//! | module | its role in [`distil`](dataflows::graphs::distil) |
//! |---|---|
//! | [`feed`] | reads the micro-batch of a place |
//! | [`teach`] | asks the teacher about it |
//! | [`learn`] | gradients, update, state |
//! | [`judge`] | the student on held-out text |
//! | [`record`] | keeps [`rows`] of metrics; how they survive a stop |

pub mod feed;
pub mod judge;
pub mod learn;
pub mod record;
pub mod rows;
pub mod teach;

use std::sync::Arc;

use dataflows::graphs::{Distil, distil as run_graph};
use dataflows::{Outcome, Shape, Span};
use datasets::store::Checkpoint;
use kernels::DType;
use kernels::loss::Objective;
use serde_json::json;

use super::commit::Committing;
use super::context::Context;
use super::data::Data;
use super::logits::cached::{self, Cached};
use super::models;
use crate::distill::{Hidden, Settings, Trainer};
use crate::error::Error;
use crate::model::{Decoder, ModelConfig};
use crate::recipe::losses::Balance;
use crate::recipe::{ControlObjective, Train};
use crate::stages::watch::Watching;
use crate::weights::initialise;
use feed::Feeding;
use judge::Judging;
use learn::Learning;
use record::{Recording, publish};
use teach::Teaching;

/// The stage in which a student learns from a teacher.
pub const DISTIL: &str = "distil";
/// The part of a checkpoint with the weights and moments.
pub const STATE: &str = "trainer.safetensors";
/// The part of a checkpoint with those of a teacher that is corrected meanwhile.
pub const TEACHER: &str = "teacher.safetensors";
/// Steps in flight: the teacher is asked that far ahead.
const WINDOW: u64 = 3;

/// Trains the teacher, if the recipe says so.
///
/// # Errors
/// See [`Error`].
pub fn pretrain(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(pretrain) = &ctx.run.recipe.pretrain else { return Ok(()) };
    let config = models::teacher_config(ctx, data)?;
    let begin = || Ok(initialise(&config, ctx.run.recipe.seed, &ctx.device));
    let run = Run {
        stage: "pretrain",
        train: &pretrain.train(),
        correction: None,
        aims: Aims::cross_entropy(),
        config: &config,
        until: None,
        cached: None,
    };
    run.run(ctx, data, || Ok(None), begin)
}

/// Goes on training the teacher on the text that is distilled on, before it is, if the recipe says so.
///
/// # Errors
/// See [`Error`].
pub fn correct(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(correct) = ctx.run.recipe.correction_before() else { return Ok(()) };
    let run = Run {
        stage: "correct",
        train: &correct,
        correction: None,
        aims: Aims::cross_entropy(),
        config: &models::teacher_config(ctx, data)?,
        until: None,
        cached: None,
    };
    run.run(ctx, data, || Ok(None), || models::uncorrected(ctx, data))
}

/// Trains the student on the teacher's outputs, if the recipe says so.
///
/// # Errors
/// See [`Error`].
pub fn distil(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(train) = &ctx.run.recipe.distil else { return Ok(()) };
    if ctx.run.is_done(DISTIL, train.steps_for(ctx.run.recipe.tokens.seq_tokens))? {
        return Ok(());
    }
    if ctx.run.recipe.logits.is_some() {
        return distil_from_cache(ctx, data, train);
    }
    let teacher = models::original(ctx, data)?;
    let student = models::pruned(ctx, &teacher)?;
    let correction = ctx.run.recipe.correction_beside();
    let run = Run {
        stage: DISTIL,
        train,
        correction: correction.as_ref(),
        aims: Aims::of(ctx, &teacher.config, &student.config)?,
        config: &student.config.clone(),
        until: None,
        cached: None,
    };
    run.run(ctx, data, || Ok(Some(teacher.clone())), || Ok(student))
}

/// The same, from a cache: the teacher is in memory while the student is cut out of it, at the first step, and no longer;
/// while it trains only if it is asked about what is not there.
fn distil_from_cache(ctx: &Arc<Context>, data: &Data, train: &Train) -> Result<(), Error> {
    let config = student_shape(ctx, data)?;
    let aims = Aims::of(ctx, &models::teacher_config(ctx, data)?, &config)?;
    let cached = cached::open(ctx, data, &config, &aims.objective)?;
    let begin = || models::pruned(ctx, &models::original(ctx, data)?);
    let (correction, until) = (None, None);
    let run = Run { stage: DISTIL, train, correction, aims, config: &config, until, cached };
    run.run(ctx, data, || Ok(None), begin)
}

/// The student's shape, without a weight of it.
fn student_shape(ctx: &Context, data: &Data) -> Result<ModelConfig, Error> {
    let uncut = models::uncut_config(ctx, data)?;
    Ok(models::plan(ctx, &uncut)?.map_or_else(|| uncut.clone(), |plan| plan.student(&uncut)))
}

/// Trains a candidate of a search as a student is, up to a step: its checkpoint there is what it goes on from.
///
/// # Errors
/// See [`Error`].
pub fn candidate(
    ctx: &Arc<Context>,
    data: &Data,
    teacher: &Decoder,
    config: &ModelConfig,
    train: &Train,
    begin: impl FnOnce() -> Result<Decoder, Error>,
    until: u64,
) -> Result<(), Error> {
    let aims = Aims::of(ctx, &teacher.config, config)?;
    let (correction, until, cached) = (None, Some(until), None);
    let run = Run { stage: DISTIL, train, correction, aims, config, until, cached };
    run.run(ctx, data, || Ok(Some(teacher.clone())), begin)
}

/// Trains the student's shape from random weights for as many steps, if the recipe says so.
///
/// # Errors
/// See [`Error`].
pub fn control(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let recipe = &ctx.run.recipe;
    let (Some(control), Some(train)) = (&recipe.control, &recipe.distil) else { return Ok(()) };
    if ctx.run.is_done("control", train.steps_for(recipe.tokens.seq_tokens))? {
        return Ok(());
    }
    let config = student_shape(ctx, data)?;
    // Another seed than the teacher's, so that a control of the same shape is not the same model.
    let begin = || Ok(initialise(&config, recipe.seed.wrapping_add(1), &ctx.device));
    let learns = control.objective == ControlObjective::Distillation;
    let teacher_shape = models::teacher_config(ctx, data)?;
    let aims = if learns { Aims::of(ctx, &teacher_shape, &config)? } else { Aims::cross_entropy() };
    let cached = match learns {
        true => cached::open(ctx, data, &config, &aims.objective)?,
        false => None,
    };
    let is_asked = learns && cached.is_none();
    let (correction, until) = (None, None);
    let run = Run { stage: "control", train, correction, aims, config: &config, until, cached };
    let teacher = || is_asked.then(|| models::teacher(ctx, data)).transpose();
    run.run(ctx, data, teacher, begin)
}

/// A decoder for forward passes alone.
pub fn in_working_type(ctx: &Context, decoder: &Decoder) -> Decoder {
    if ctx.working == DType::F32 {
        return decoder.clone();
    }
    Decoder {
        config: decoder.config.clone(),
        parameters: decoder.parameters.clone().cast(ctx.working),
    }
}

/// What a stage minimises.
struct Aims {
    objective: Objective,
    /// Whether the weight of its cross-entropy follows the divergences.
    cross_entropy_is_dynamic: bool,
    /// The loss on hidden states.
    hidden: Option<Hidden>,
}

impl Aims {
    /// Plain language modelling.
    fn cross_entropy() -> Self {
        Self {
            objective: Objective::cross_entropy(),
            cross_entropy_is_dynamic: false,
            hidden: None,
        }
    }

    /// What the recipe says of distillation, for a teacher and a student of these shapes.
    fn of(ctx: &Context, teacher: &ModelConfig, student: &ModelConfig) -> Result<Self, Error> {
        let (recipe, losses) = (&ctx.run.recipe, &ctx.run.recipe.losses);
        let wide = [student.hidden_size, teacher.hidden_size];
        let hidden = losses.hidden.as_ref().map(|hidden| {
            Ok::<_, Error>(Hidden {
                loss: hidden.distance,
                weight: hidden.weight,
                is_dynamic: hidden.balance == Balance::Dynamic,
                norms: hidden.norms(teacher.num_hidden_layers, student.num_hidden_layers)?,
                projection: (wide[0] != wide[1]).then_some(wide),
                seed: recipe.seed,
            })
        });
        Ok(Self {
            objective: losses.objective(),
            cross_entropy_is_dynamic: losses.cross_entropy.balance == Balance::Dynamic,
            hidden: hidden.transpose()?,
        })
    }
}

/// One training stage.
struct Run<'a> {
    stage: &'static str,
    train: &'a Train,
    /// How the teacher is trained meanwhile, if it is.
    correction: Option<&'a Train>,
    aims: Aims,
    config: &'a ModelConfig,
    /// The step that it ends at for now, if that is not its last: nothing is sealed then but its checkpoint.
    until: Option<u64>,
    /// Where its lessons come from, if not from a teacher.
    cached: Option<Cached>,
}

impl Run<'_> {
    /// Trains what is left, and seals the stage.
    fn run(
        &self,
        ctx: &Arc<Context>,
        data: &Data,
        teacher: impl FnOnce() -> Result<Option<Decoder>, Error>,
        begin: impl FnOnce() -> Result<Decoder, Error>,
    ) -> Result<(), Error> {
        let (stage, train) = (self.stage, self.train);
        let seq_tokens = ctx.run.recipe.tokens.seq_tokens;
        if ctx.run.is_done(stage, train.steps_for(seq_tokens))? {
            return Ok(());
        }
        let (checkpoints, newest) = ctx.run.checkpoints(stage)?;
        let checkpoints = Arc::new(checkpoints);
        let span = Span {
            resume: newest.as_ref().map_or(0, |checkpoint| checkpoint.step),
            end: self.until.unwrap_or_else(|| train.steps_for(seq_tokens)),
            every: train.checkpoint_every,
        };
        let metrics = ctx.run.path.join("metrics").join(stage);
        datasets::store::create_dir_all(&metrics)?;
        if let Some(checkpoint) = &newest {
            publish(checkpoint, &metrics, span)?;
        }
        if span.resume < span.end {
            if ctx.stop.requested() {
                return Err(ctx.stopped(stage, span.resume, span.end));
            }
            if span.resume > 0 {
                ctx.run.events.push("goes on", json!({"stage": stage, "step": span.resume}));
            }
            let settings = Settings {
                cross_entropy_is_dynamic: self.aims.cross_entropy_is_dynamic,
                hidden: self.aims.hidden.clone(),
                ..settings_of(self.train, self.aims.objective.clone(), seq_tokens)
            };
            let student = trainer(ctx, newest.as_ref(), STATE, self.config, settings, begin)?;
            let mut teacher = teacher()?;
            let judges =
                teacher.is_some() || self.cached.as_ref().is_some_and(|c| c.teacher().is_some());
            let has_teacher = teacher.is_some() || self.cached.is_some();
            let corrected = teacher.take_if(|_| self.correction.is_some());
            let correction = self.correction.zip(corrected).map(|(train, teacher)| {
                let settings = settings_of(train, Objective::cross_entropy(), seq_tokens);
                let config = teacher.config.clone();
                trainer(ctx, newest.as_ref(), TEACHER, &config, settings, || Ok(teacher))
            });
            let correction = correction.transpose()?;
            let teacher = teacher.map(|teacher| in_working_type(ctx, &teacher));
            let watching = Watching::new(&data.train, train.global_batch_size);
            if let Some(checkpoint) = &newest {
                watching.check(checkpoint)?;
            }
            let record = Recording::begin(
                ctx,
                stage,
                &checkpoints,
                newest.as_ref(),
                span,
                self,
                [has_teacher, judges],
                watching,
            )?;
            let commit = Committing {
                ctx: Arc::clone(ctx),
                stage,
                checkpoints: Arc::clone(&checkpoints),
                keep: usize::try_from(train.keep_checkpoints).unwrap_or(usize::MAX),
                then: Box::new(move |checkpoint| publish(checkpoint, &metrics, span)),
            };
            data.enough(stage, span.end.saturating_mul(train.global_batch_size))?;
            let (loader, asked) = (Arc::clone(&data.train), teacher.clone());
            let (read, pieces) = (self.cached.clone(), self.cached.is_some());
            let live = self.cached.as_ref().and_then(|cached| cached.teacher().cloned());
            let norms = self.aims.hidden.as_ref().map(Hidden::of_teacher).unwrap_or_default();
            let compared = norms.clone();
            let apart = ctx.run.recipe.tokens.document_mask;
            let (global, micro) = (train.global_batch_size, train.micro_batch_size);
            let roles = Distil {
                feed: move |_| Feeding {
                    loader: Arc::clone(&loader),
                    apart,
                    global,
                    micro,
                    pieces,
                },
                teach: move |_| {
                    let cached = read.as_ref().map(Cached::reading);
                    Teaching { teacher: asked.clone(), norms: norms.clone(), cached }
                },
                learn: Learning {
                    ctx: Arc::clone(ctx),
                    stage,
                    trainer: student,
                    correction,
                    norms: compared,
                    checkpoints,
                },
                judge: Judging { held_out: data.held_out.clone(), teacher: teacher.or(live) },
                record,
                commit,
                eval_every: train.evaluate_every,
            };
            let shape = Shape {
                workers: ctx.workers,
                shards: u32::try_from(train.micro_batches()).unwrap_or(u32::MAX),
                window: WINDOW,
                uncommitted: train.checkpoint_every.max(1),
                span,
            };
            ctx.progress.begin(stage, "steps", span.resume, span.end);
            let outcome = run_graph(&shape, roles, &ctx.stop, ctx.halt(stage))?;
            ctx.progress.end("");
            if let Some(cached) = &self.cached {
                cached.commit()?;
            }
            if let Outcome::Stopped { step } = outcome {
                return Err(ctx.stopped(stage, step.0, span.end));
            }
        }
        if self.until.is_none() {
            ctx.run.write_seal(stage, json!({"steps": span.end}))?;
        }
        Ok(())
    }
}

/// A trainer as a part of a checkpoint left it, or at its beginning.
fn trainer(
    ctx: &Context,
    newest: Option<&Checkpoint>,
    part: &str,
    config: &ModelConfig,
    settings: Settings,
    begin: impl FnOnce() -> Result<Decoder, Error>,
) -> Result<Trainer, Error> {
    Ok(match newest.and_then(|checkpoint| checkpoint.part(part)) {
        Some(path) => Trainer::resume(&path, config, &ctx.device, ctx.working, settings)?,
        None => Trainer::new(begin()?, ctx.working, settings),
    })
}

fn settings_of(train: &Train, objective: Objective, seq_tokens: u64) -> Settings {
    Settings {
        learning_rate: train.rate(seq_tokens),
        objective,
        cross_entropy_is_dynamic: false,
        hidden: None,
        tokens_per_step: train.tokens_per_step(seq_tokens),
        beta1: train.beta1,
        beta2: train.beta2,
        epsilon: train.epsilon,
        weight_decay: train.weight_decay,
        clip_norm: train.clip_norm,
        recompute: train.recompute,
    }
}
