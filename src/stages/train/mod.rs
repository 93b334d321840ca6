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
use super::models;
use crate::distill::{Settings, Trainer};
use crate::error::Error;
use crate::model::{Decoder, ModelConfig};
use crate::recipe::Train;
use crate::stages::watch::Watching;
use crate::weights::initialise;
use feed::Feeding;
use judge::Judging;
use learn::Learning;
use record::{Recording, publish};
use teach::Teaching;

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
        objective: Objective::cross_entropy(),
        config: &config,
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
        objective: Objective::cross_entropy(),
        config: &models::teacher_config(ctx, data)?,
    };
    run.run(ctx, data, || Ok(None), || models::uncorrected(ctx, data))
}

/// Trains the student on the teacher's outputs, if the recipe says so.
///
/// # Errors
/// See [`Error`].
pub fn distil(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(train) = &ctx.run.recipe.distil else { return Ok(()) };
    if ctx.run.is_done("distil", train.steps_for(ctx.run.recipe.tokens.seq_tokens))? {
        return Ok(());
    }
    let teacher = models::original(ctx, data)?;
    let losses = &ctx.run.recipe.losses;
    let objective = Objective {
        forward_kl: losses.forward_kl.weight,
        temperature: losses.forward_kl.temperature,
        cross_entropy: losses.cross_entropy.weight,
    };
    let student = models::pruned(ctx, &teacher)?;
    let correction = ctx.run.recipe.correction_beside();
    let run = Run {
        stage: "distil",
        train,
        correction: correction.as_ref(),
        objective,
        config: &student.config.clone(),
    };
    run.run(ctx, data, || Ok(Some(teacher.clone())), || Ok(student))
}

/// Trains the student's shape from random weights for as many steps, if the recipe says so.
///
/// # Errors
/// See [`Error`].
pub fn control(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let recipe = &ctx.run.recipe;
    let (Some(_), Some(train)) = (&recipe.control, &recipe.distil) else { return Ok(()) };
    let teacher = models::teacher_config(ctx, data)?;
    let config = recipe.student_config(&teacher)?;
    // Another seed than the teacher's, so that a control of the same shape is not the same model.
    let begin = || Ok(initialise(&config, recipe.seed.wrapping_add(1), &ctx.device));
    let run = Run {
        stage: "control",
        train,
        correction: None,
        objective: Objective::cross_entropy(),
        config: &config,
    };
    run.run(ctx, data, || Ok(None), begin)
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

/// One training stage.
struct Run<'a> {
    stage: &'static str,
    train: &'a Train,
    /// How the teacher is trained meanwhile, if it is.
    correction: Option<&'a Train>,
    objective: Objective,
    config: &'a ModelConfig,
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
            end: train.steps_for(seq_tokens),
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
            let settings = settings_of(self.train, self.objective, seq_tokens);
            let student = trainer(ctx, newest.as_ref(), STATE, self.config, settings, begin)?;
            let mut teacher = teacher()?;
            let has_teacher = teacher.is_some();
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
                has_teacher,
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
            let apart = ctx.run.recipe.tokens.document_mask;
            let (global, micro) = (train.global_batch_size, train.micro_batch_size);
            let roles = Distil {
                feed: move |_| Feeding { loader: Arc::clone(&loader), apart, global, micro },
                teach: move |_| Teaching { teacher: asked.clone() },
                learn: Learning {
                    ctx: Arc::clone(ctx),
                    stage,
                    trainer: student,
                    correction,
                    checkpoints,
                },
                judge: Judging { held_out: data.held_out.clone(), teacher },
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
            if let Outcome::Stopped { step } = outcome {
                return Err(ctx.stopped(stage, step.0, span.end));
            }
        }
        ctx.run.write_seal(stage, json!({"steps": span.end}))?;
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
        tokens_per_step: train.tokens_per_step(seq_tokens),
        beta1: train.beta1,
        beta2: train.beta2,
        epsilon: train.epsilon,
        weight_decay: train.weight_decay,
        clip_norm: train.clip_norm,
        recompute: train.recompute,
    }
}
