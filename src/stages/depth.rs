//! Which layers the teacher can do without: what it loses with each, and with each block, over calibration sequences.

use std::sync::Arc;

use dataflows::roles::{Fold, Staging, Work};
use dataflows::{At, Failure, Step};
use datasets::store::{Checkpoint, Checkpoints};
use serde_json::json;

use super::calibration::Calibration;
use super::commit::part;
use super::context::Context;
use super::data::Data;
use super::models;
use super::passes::{PassOver, pass_over};
use super::train::in_working_type;
use crate::distill::Batch;
use crate::error::Error;
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

/// Layers that are to go and are searched for.
fn dropped(ctx: &Context, prune: &Prune, teacher: &ModelConfig) -> Result<usize, Error> {
    let stay = ctx.run.recipe.student_config(teacher)?.num_hidden_layers;
    let searched = prune.searches_layers();
    Ok(if searched { teacher.num_hidden_layers - stay } else { 0 })
}

/// Scores layers and blocks of layers, if the recipe has some searched for and it is not done.
///
/// # Errors
/// [`Error::Importance`] if a sum is not finite; see [`Error`].
pub fn depth(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let Some(prune) = &ctx.run.recipe.prune else { return Ok(()) };
    let config = models::teacher_config(ctx, data)?;
    let dropped = dropped(ctx, prune, &config)?;
    if dropped == 0 {
        return Ok(());
    }
    let (batch, end) = (prune.calibration_batch, prune.calibration_sequences);
    let steps = end.div_ceil(batch * u64::from(SHARDS));
    if ctx.run.is_done(STAGE, steps)? {
        return Ok(());
    }
    data.enough(STAGE, end)?;
    let layers = config.num_hidden_layers;
    let teacher = models::original(ctx, data)?;
    let of = Fingerprint::of(&teacher, data.header.tokenizer);
    let calibration = Calibration::of(ctx, data, prune, SHARDS);
    let feed = move |_| calibration.clone();
    let walk = Walk::new(in_working_type(ctx, &teacher), dropped);
    let work = move |_| Removing { walk: walk.clone() };
    let shared = Arc::clone(ctx);
    let fold = move |checkpoint: Option<&Checkpoint>, checkpoints| {
        shared.progress.begin(
            STAGE,
            "steps",
            checkpoint.map_or(0, |checkpoint| checkpoint.step),
            steps,
        );
        let sums = match checkpoint {
            Some(checkpoint) => DepthSums::read(&checkpoint.dir.join(SUMS), layers, dropped)?,
            None => DepthSums::zeros(layers, dropped),
        };
        Ok(Summing { ctx: shared, sums, of, checkpoints })
    };
    let form = PassOver { stage: STAGE, steps, shards: SHARDS, every: EVERY };
    let checkpoint = pass_over(ctx, form, feed, work, fold, &ctx.stop)?;
    let sums = DepthSums::read(&checkpoint.dir.join(SUMS), layers, dropped)?;
    if let Some(layer) = sums.not_finite() {
        return Err(Error::Importance { layer, site: "the stream without it" });
    }
    let scores = ctx.run.path.join("scores");
    datasets::store::create_dir_all(&scores)?;
    sums.write(&scores.join(format!("{}.parquet", Axis::NumHiddenLayers.name())), &of)?;
    let gone = sums.choose(prune.depth, prune.depth_contiguous);
    ctx.progress.end(&format!("of {layers} layers these go: {}", listed(&gone)));
    ctx.run.write_seal(
        STAGE,
        json!({"layers": gone, "tokens": sums.tokens, "layer_forwards": sums.layer_forwards}),
    )?;
    Ok(())
}

/// The layers that stay, as the recipe lists them or as the stage found them.
///
/// # Errors
/// [`Error::NoCheckpoint`] if the stage left none.
pub fn kept(ctx: &Context, prune: &Prune, teacher: &ModelConfig) -> Result<Vec<usize>, Error> {
    let layers = teacher.num_hidden_layers;
    let gone = match dropped(ctx, prune, teacher)? {
        0 => prune.drop_layers.clone(),
        dropped => {
            let checkpoint = ctx.run.newest_checkpoint(STAGE)?;
            let sums = DepthSums::read(&checkpoint.dir.join(SUMS), layers, dropped)?;
            sums.choose(prune.depth, prune.depth_contiguous)
        }
    };
    Ok((0..layers).filter(|layer| !gone.contains(layer)).collect())
}

fn listed(layers: &[usize]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

struct Removing {
    walk: Walk,
}

impl Work for Removing {
    type Batch = Option<Batch>;
    type Output = Option<DepthSums>;

    fn work(&mut self, _: At, batch: Option<Batch>) -> Result<Option<DepthSums>, Failure> {
        Ok(batch.map(|batch| self.walk.sums(&batch)))
    }
}

struct Summing {
    ctx: Arc<Context>,
    sums: DepthSums,
    of: Fingerprint,
    checkpoints: Arc<Checkpoints>,
}

impl Fold for Summing {
    type Input = Option<DepthSums>;

    fn fold(&mut self, at: At, sums: Option<DepthSums>) -> Result<(), Failure> {
        if let Some(sums) = sums {
            self.sums.add(&sums);
        }
        if at.shard + 1 == SHARDS {
            self.ctx.progress.at(at.step.0 + 1, String::new);
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
