//! Which layers the teacher can do without: what it loses with each, and with each block, over calibration sequences or
//! of the answers to multiple-choice items.

use std::sync::Arc;

use dataflows::roles::{Feed, Fold, Staging, Work};
use dataflows::{At, Failure, Step};
use datasets::store::{Checkpoint, Checkpoints};
use serde_json::json;

use super::calibration::Calibration;
use super::commit::part;
use super::context::Context;
use super::data::Data;
use super::models;
use super::passes::{PassOver, pass_over};
use super::questions::questions;
use super::train::in_working_type;
use super::watch::Watching;
use crate::distill::Batch;
use crate::error::Error;
use crate::eval::choice::{Question, Questions};
use crate::model::ModelConfig;
use crate::prune::depth::walk::Walk;
use crate::prune::{Axis, DepthSums, Fingerprint};
use crate::recipe::Prune;

/// Its name.
pub const STAGE: &str = "depth";
/// Micro-batches of a step.
const SHARDS: u32 = 2;
/// Steps between checkpoints: a step is some twenty forward passes.
const EVERY: u64 = 8;
const SUMS: &str = "depth.parquet";

/// Scores layers and blocks of layers, if the recipe has some searched for and it is not done.
///
/// # Errors
/// [`Error::Importance`] if a sum is not finite; [`Error::Choice`] if an item does not do; see [`Error`].
pub fn depth(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(prune) = &ctx.run.recipe.prune else { return Ok(()) };
    let config = models::uncut_config(ctx, data)?;
    let lengths = ctx.run.recipe.dropped_layers(&config)?;
    if lengths.is_empty() {
        return Ok(());
    }
    let (batch, end) = (prune.calibration_batch, prune.calibration_sequences);
    let task = prune.depth_task.as_ref();
    let asked = task.map(|path| questions(path, data, &config, batch)).transpose()?;
    let batches = asked.as_ref().map_or(end.div_ceil(batch), Questions::num_batches);
    let steps = batches.div_ceil(u64::from(SHARDS));
    if ctx.run.is_done(STAGE, steps)? {
        return Ok(());
    }
    if asked.is_none() {
        data.enough(STAGE, end)?;
    }
    let watching = asked.is_none().then(|| Watching::new(&data.train, batch * u64::from(SHARDS)));
    let layers = config.num_hidden_layers;
    let teacher = models::uncut(ctx, data)?;
    let of = Fingerprint::of(&teacher, data.header.tokenizer);
    let reading = match asked {
        Some(questions) => Reading::Items(questions),
        None => Reading::Text(Calibration::of(ctx, data, prune, SHARDS)),
    };
    let feed = move |_| reading.clone();
    let walk = Walk::new(in_working_type(ctx, &teacher), &lengths);
    let work = move |_| Removing { walk: walk.clone() };
    let (shared, measured, watched) = (Arc::clone(ctx), lengths.clone(), watching.clone());
    let fold = move |checkpoint: Option<&Checkpoint>, checkpoints| {
        shared.progress.begin(
            STAGE,
            "steps",
            checkpoint.map_or(0, |checkpoint| checkpoint.step),
            steps,
        );
        let sums = match checkpoint {
            Some(checkpoint) => DepthSums::read(&checkpoint.dir.join(SUMS), layers, &measured)?,
            None => DepthSums::zeros(layers, &measured),
        };
        Ok(Summing { ctx: shared, sums, of, watching: watched, checkpoints })
    };
    let form = PassOver { stage: STAGE, steps, shards: SHARDS, every: EVERY };
    let checkpoint = pass_over(ctx, form, feed, work, fold, &ctx.stop)?;
    let sums = DepthSums::read(&checkpoint.dir.join(SUMS), layers, &lengths)?;
    if let Some(layer) = sums.not_finite() {
        return Err(Error::Importance { layer, site: "the stream without it" });
    }
    let scores = ctx.run.path.join("scores");
    datasets::store::create_dir_all(&scores)?;
    sums.write(&scores.join(format!("{}.parquet", Axis::NumHiddenLayers.name())), &of)?;
    if let Some(watching) = &watching {
        watching.write(ctx, STAGE)?;
    }
    let each: Vec<Vec<usize>> = lengths
        .iter()
        .map(|dropped| sums.choose(prune.depth, prune.depth_contiguous, *dropped))
        .collect();
    let (items, right) = (sums.answers.items, sums.answers.right);
    let seen = match &watching {
        Some(watching) => watching.said(),
        None => format!("{right} of {items} items right with all"),
    };
    let gone: Vec<String> = each.iter().map(|gone| listed(gone)).collect();
    ctx.progress.end(&format!("of {layers} layers these go: {}; {seen}", gone.join("; ")));
    let mut result =
        json!({"layers": each, "tokens": sums.tokens, "layer_forwards": sums.layer_forwards});
    if watching.is_none() {
        result["items"] = items.into();
        result["right"] = right.into();
    }
    ctx.run.write_seal(STAGE, result)?;
    Ok(())
}

/// The layers of which `stay` stay, as the recipe lists them or as the stage found them.
///
/// # Errors
/// [`Error::NoCheckpoint`] if the stage left none.
pub fn kept(
    ctx: &Context,
    prune: &Prune,
    uncut: &ModelConfig,
    stay: usize,
) -> Result<Vec<usize>, Error> {
    let layers = uncut.num_hidden_layers;
    let gone = match layers - stay.min(layers) {
        0 => Vec::new(),
        _ if !prune.drop_layers.is_empty() => prune.drop_layers.clone(),
        dropped => {
            let lengths = ctx.run.recipe.dropped_layers(uncut)?;
            let checkpoint = ctx.run.newest_checkpoint(STAGE)?;
            let sums = DepthSums::read(&checkpoint.dir.join(SUMS), layers, &lengths)?;
            sums.choose(prune.depth, prune.depth_contiguous, dropped)
        }
    };
    Ok((0..layers).filter(|layer| !gone.contains(layer)).collect())
}

fn listed(layers: &[usize]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Where micro-batches come from.
#[derive(Clone)]
enum Reading {
    Text(Calibration),
    Items(Questions),
}

/// A micro-batch.
enum Read {
    Text(Batch),
    Items(Vec<Question>),
}

impl Feed for Reading {
    /// None where the last step has fewer micro-batches.
    type Batch = Option<Read>;

    fn feed(&mut self, at: At) -> Result<Option<Read>, Failure> {
        Ok(match self {
            Self::Text(calibration) => calibration.feed(at)?.map(Read::Text),
            Self::Items(questions) => {
                let index = at.step.0 * u64::from(SHARDS) + u64::from(at.shard);
                questions.batch(index).map(Read::Items)
            }
        })
    }
}

struct Removing {
    walk: Walk,
}

impl Work for Removing {
    type Batch = Option<Read>;
    type Output = Option<DepthSums>;

    fn work(&mut self, _: At, read: Option<Read>) -> Result<Option<DepthSums>, Failure> {
        Ok(read.map(|read| match read {
            Read::Text(batch) => self.walk.sums(&batch),
            Read::Items(questions) => self.walk.answers(&questions),
        }))
    }
}

struct Summing {
    ctx: Arc<Context>,
    sums: DepthSums,
    of: Fingerprint,
    watching: Option<Watching>,
    checkpoints: Arc<Checkpoints>,
}

impl Fold for Summing {
    type Input = Option<DepthSums>;

    fn fold(&mut self, at: At, sums: Option<DepthSums>) -> Result<(), Failure> {
        if let Some(sums) = sums {
            self.sums.add(&sums);
        }
        if at.shard + 1 == SHARDS {
            let said = || self.watching.as_ref().map_or_else(String::new, Watching::said);
            self.ctx.progress.at(at.step.0 + 1, said);
        }
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let (sums, of, checkpoints) = (self.sums.clone(), self.of, Arc::clone(&self.checkpoints));
        Box::new(move || {
            let path = checkpoints.part_dir(step.0).map_err(Failure::of)?.join(SUMS);
            let written = sums.write(&path, &of).map_err(Failure::of)?;
            Ok(vec![part("fold", SUMS, written)])
        })
    }
}
