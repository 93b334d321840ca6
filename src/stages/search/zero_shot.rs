//! What candidates are worth before training: the loss of each on calibration sequences. A step of the pass is a
//! candidate.

use std::path::Path;
use std::sync::Arc;

use dataflows::operators::Verdict;
use dataflows::roles::{Feed, Fold, Staging, Work};
use dataflows::{At, Failure, InProcess, Step};
use datasets::loader::Loader;
use datasets::store::{Checkpoint, Checkpoints};
use datasets::table::{Column, Table};
use kernels::loss::LossSums;

use super::Candidate;
use crate::distill::Batch;
use crate::error::Error;
use crate::eval::losses::losses;
use crate::model::Decoder;
use crate::prune::cut;
use crate::stages::commit::part;
use crate::stages::context::Context;
use crate::stages::data::Data;
use crate::stages::passes::{PassOver, pass_over};
use crate::stages::train::feed::sequences;
use crate::stages::train::in_working_type;

/// Its name.
pub const STAGE: &str = "zero-shot";
/// Candidates between checkpoints.
const EVERY: u64 = 8;
const SUMS: &str = "losses.parquet";

/// The loss of each candidate, in their order.
///
/// # Errors
/// See [`Error`].
pub fn zero_shot(
    ctx: &Arc<Context>,
    data: &Data,
    uncut: &Decoder,
    candidates: &Arc<Vec<Candidate>>,
    sequences: u64,
    batch: u64,
) -> Result<Vec<Verdict>, Error> {
    data.enough("search", sequences)?;
    let shards = u32::try_from(sequences.div_ceil(batch)).unwrap_or(u32::MAX);
    let (loader, apart) = (Arc::clone(&data.train), ctx.run.recipe.tokens.document_mask);
    let feed = move |_| Reading { loader: Arc::clone(&loader), apart, batch, sequences };
    let (uncut, tried, working) = (uncut.clone(), Arc::clone(candidates), Arc::clone(ctx));
    let work = move |_| Trying {
        ctx: Arc::clone(&working),
        uncut: uncut.clone(),
        candidates: Arc::clone(&tried),
        at_hand: None,
    };
    let (steps, shared) = (candidates.len() as u64, Arc::clone(ctx));
    let fold = move |checkpoint: Option<&Checkpoint>, checkpoints| {
        let done = checkpoint.map_or(0, |checkpoint| checkpoint.step);
        shared.progress.begin(STAGE, "candidates", done, steps);
        let losses = match checkpoint {
            Some(checkpoint) => read(&checkpoint.dir.join(SUMS))?,
            None => Vec::new(),
        };
        Ok(Summing { ctx: shared, shards, losses, sums: LossSums::default(), checkpoints })
    };
    let form = PassOver { stage: STAGE, steps, shards, every: EVERY };
    let checkpoint = pass_over(ctx, form, feed, work, fold, &ctx.stop)?;
    ctx.progress.end("");
    let losses = read(&checkpoint.dir.join(SUMS))?;
    let verdicts = (0..).zip(losses).map(|(candidate, loss)| Verdict { candidate, loss });
    Ok(verdicts.collect())
}

fn read(path: &Path) -> Result<Vec<f64>, Error> {
    match Table::read(path)?.column("cross_entropy") {
        Some(Column::F64(losses)) => Ok(losses.clone()),
        _ => Err(Error::Malformed {
            path: path.to_owned(),
            reason: "expected a column of losses, `cross_entropy`".to_owned(),
        }),
    }
}

/// The same sequences for each candidate: a micro-batch a shard.
struct Reading {
    loader: Arc<Loader>,
    apart: bool,
    batch: u64,
    sequences: u64,
}

impl Feed for Reading {
    type Batch = Batch;

    fn feed(&mut self, at: At) -> Result<Batch, Failure> {
        let first = u64::from(at.shard) * self.batch;
        let last = (first + self.batch).min(self.sequences);
        let sequences = sequences(&self.loader, first..last).map_err(Failure::of)?;
        Ok(Batch::new(&sequences, self.apart))
    }
}

/// Cuts a candidate out when its first micro-batch comes, and keeps it for the others.
struct Trying {
    ctx: Arc<Context>,
    uncut: Decoder,
    candidates: Arc<Vec<Candidate>>,
    at_hand: Option<(u64, Decoder)>,
}

impl Work for Trying {
    type Batch = Batch;
    type Output = InProcess<LossSums>;

    fn work(&mut self, at: At, batch: Batch) -> Result<Self::Output, Failure> {
        let candidate = at.step.0;
        let model = match self.at_hand.take() {
            Some((at_hand, model)) if at_hand == candidate => model,
            _ => {
                let index = usize::try_from(candidate).unwrap_or(usize::MAX);
                let plan = self.candidates.get(index).map(|candidate| &candidate.plan);
                let plan = plan.ok_or_else(|| Failure::of("there is no such candidate"))?;
                let model = cut(&self.uncut, plan).map_err(Failure::of)?;
                in_working_type(&self.ctx, &model)
            }
        };
        let sums = losses(&model, None, &batch);
        self.at_hand = Some((candidate, model));
        Ok(InProcess(sums))
    }
}

struct Summing {
    ctx: Arc<Context>,
    shards: u32,
    losses: Vec<f64>,
    sums: LossSums,
    checkpoints: Arc<Checkpoints>,
}

impl Fold for Summing {
    type Input = InProcess<LossSums>;

    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    fn fold(&mut self, at: At, InProcess(sums): Self::Input) -> Result<(), Failure> {
        self.sums.add(&sums);
        if at.shard + 1 == self.shards {
            let sums = std::mem::take(&mut self.sums);
            let loss = sums.cross_entropy / sums.tokens.max(1) as f64;
            self.losses.push(loss);
            self.ctx.progress.at(at.step.0 + 1, || format!("loss {loss:.4}"));
        }
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let (losses, checkpoints) = (self.losses.clone(), Arc::clone(&self.checkpoints));
        Box::new(move || {
            let path = checkpoints.part_dir(step.0).map_err(Failure::of)?.join(SUMS);
            let table = Table::new([("cross_entropy", Column::F64(losses))]);
            Ok(vec![part("fold", SUMS, table.write(&path).map_err(Failure::of)?)])
        })
    }
}
