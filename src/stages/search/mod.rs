//! The search for the student's shape: `[search]` lists shapes and a budget, and the best candidate is cut.
//!
//! ```text
//! shapes → within the budget → zero-shot loss (a pass) → rungs of short distillation (the graph `search`) → choice
//! ```
//!
//! | module | |
//! |---|---|
//! | [`zero_shot`] | the loss of each candidate before training |
//! | [`attempt`] | a candidate learns for a rung |
//!
//! Everything it leaves is in `search/`: a run inside of the run for each candidate, what was measured of blocks
//! (`latency.json`), and what was found (`found.json`, `curves.svg`).

pub mod attempt;
pub mod zero_shot;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::graphs::search as run_graph;
use datasets::store::{create_dir_all, sealed, write_atomic};
use datasets::table::{Column, Table};
use serde_json::json;

use super::context::Context;
use super::data::Data;
use super::{depth, models, observe, prune};
use crate::curves::curves;
use crate::error::Error;
use crate::model::{Decoder, ModelConfig};
use crate::prune::PrunePlan;
use crate::recipe::{Prune, Search, Train};
use crate::search::report::{Fared, Found};
use crate::search::{Latencies, space};
use attempt::{Training, directory};

/// Its name.
pub const STAGE: &str = "search";

/// A shape that is tried, and how it is cut out.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its shape.
    pub config: ModelConfig,
    /// What of the uncut model it keeps.
    pub plan: PrunePlan,
}

/// Where a run keeps what its search found.
pub fn found_path(run: &Path) -> PathBuf {
    run.join("search").join("found.json")
}

/// What the search of a run found, if it is there.
pub fn read(run: &Path) -> Option<Found> {
    Some(sealed::read::<Found>(&found_path(run)).ok()?.0)
}

/// The student's shape, if the recipe has it searched for.
///
/// # Errors
/// [`Error::NoCheckpoint`] if the search left none.
pub fn shape(ctx: &Context, uncut: &ModelConfig) -> Result<Option<ModelConfig>, Error> {
    if ctx.run.recipe.search.is_none() {
        return Ok(None);
    }
    let found = read(&ctx.run.path).filter(|_| ctx.run.seal(STAGE).is_some());
    let chosen = found.as_ref().and_then(|found| found.candidates.get(found.choice));
    let chosen = chosen.ok_or_else(|| ctx.run.no_checkpoint(STAGE))?;
    Ok(Some(chosen.shape(uncut)))
}

/// Searches, if the recipe says so and it is not done.
///
/// # Errors
/// [`Error::NoneFits`] if no shape is within the budget; [`Error::Stopped`] if the run was asked to stop; see
/// [`Error`].
pub fn search(ctx: &Arc<Context>, data: &Data) -> Result<(), Error> {
    let recipe = &ctx.run.recipe;
    let (Some(search), Some(prune)) = (&recipe.search, &recipe.prune) else { return Ok(()) };
    if ctx.run.seal(STAGE).is_some() && (ctx.run.is_over() || read(&ctx.run.path).is_some()) {
        return Ok(());
    }
    create_dir_all(&ctx.run.path.join("search"))?;
    let uncut_shape = models::uncut_config(ctx, data)?;
    let shapes = space::shapes(recipe, prune, search, &uncut_shape)?;
    let latencies = search.times().then(|| latencies(ctx, search, &shapes)).transpose()?;
    let seq_tokens = recipe.tokens.seq_tokens;
    let fit = space::fitting(&shapes, search, seq_tokens, latencies.as_ref())?;
    ctx.progress.say(&format!(
        "{STAGE:>9}: {} of {} shapes are within the budget",
        fit.len(),
        shapes.len()
    ));
    let candidates = candidates(ctx, prune, &uncut_shape, &fit)?;
    let uncut = models::uncut(ctx, data)?;
    let batch = prune.calibration_batch;
    let all = Arc::new(candidates);
    let mut ranked =
        zero_shot::zero_shot(ctx, data, &uncut, &all, search.zero_shot_sequences, batch)?;
    dataflows::operators::rank(&mut ranked);
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let in_order: Vec<Candidate> = ranked.iter().map(|v| all[place(v.candidate)].clone()).collect();
    let fared = ranked.iter().map(|verdict| {
        let shape = &fit[place(verdict.candidate)];
        Fared::untrained(&shape.config, shape.cost, verdict.loss)
    });
    let mut found = Found { shapes: shapes.len(), candidates: fared.collect(), ..Found::default() };
    if let Some(train) = recipe.distil.as_ref().filter(|_| !search.tokens.is_empty()) {
        let train = rungs_of(search, train, seq_tokens);
        found.step_tokens = train.0.tokens_per_step(seq_tokens);
        halve(ctx, data, search, train, (uncut, in_order), &mut found)?;
    }
    let path = found_path(&ctx.run.path);
    sealed::write(&path, &found)?;
    curves(
        &path.with_file_name("curves.svg"),
        "Candidates in short distillation",
        ["tokens", "held-out cross-entropy"],
        &found.lines(),
    )?;
    let text = found.text();
    write_atomic(&path.with_file_name("found.txt"), |file| file.write_all(text.as_bytes()))?;
    ctx.progress.say(&format!("{STAGE:>9}: {}", found.why()));
    ctx.run
        .write_seal(STAGE, json!({"choice": found.choice, "candidates": found.candidates.len()}))?;
    Ok(())
}

/// How candidates are trained, and the steps at the end of each rung. The rate falls to the end of the last rung, and
/// rises for a quarter of all steps at most.
fn rungs_of(search: &Search, train: &Train, seq_tokens: u64) -> (Train, Vec<u64>) {
    let steps = |tokens: &crate::recipe::TokenCount| {
        Train { steps: None, tokens: Some(*tokens), ..train.clone() }.steps_for(seq_tokens)
    };
    let rungs: Vec<u64> = search.tokens.iter().map(steps).collect();
    let whole = rungs.last().copied().unwrap_or(0);
    let warmup_steps = train.warmup_steps.min(whole / 4);
    (Train { steps: Some(whole), tokens: None, warmup_steps, ..train.clone() }, rungs)
}

/// Every candidate's plan.
fn candidates(
    ctx: &Context,
    prune: &Prune,
    uncut: &ModelConfig,
    fit: &[space::Shape],
) -> Result<Vec<Candidate>, Error> {
    let scores = observe::scores(ctx)?;
    let residual = observe::residual(ctx, uncut)?;
    let candidate = |shape: &space::Shape| {
        let layers = depth::kept(ctx, prune, uncut, shape.config.num_hidden_layers)?;
        let plan =
            prune::planned(prune, uncut, &shape.config, &layers, &scores, residual.as_ref())?;
        Ok(Candidate { config: shape.config.clone(), plan })
    };
    fit.iter().map(candidate).collect()
}

/// Successive halving, and what came of it.
fn halve(
    ctx: &Arc<Context>,
    data: &Data,
    search: &Search,
    (train, rungs): (Train, Vec<u64>),
    (uncut, candidates): (Decoder, Vec<Candidate>),
    found: &mut Found,
) -> Result<(), Error> {
    let fields = search.fields(candidates.len());
    let last = rungs.last().copied().unwrap_or(0);
    data.enough(STAGE, last.saturating_mul(train.global_batch_size))?;
    found.rung_tokens = rungs.iter().map(|steps| steps * found.step_tokens).collect();
    let before = std::iter::once(0).chain(rungs.iter().copied());
    let total = fields
        .iter()
        .zip(rungs.iter().zip(before))
        .map(|(n, (to, from))| *n as u64 * (to - from))
        .sum();
    // A worker a candidate; with one worker there is one of each.
    let teacher = models::original_beside(ctx, data, &uncut)?;
    let candidates = Arc::new(candidates);
    let (outer, data, steps) = (Arc::clone(ctx), data.clone(), rungs.clone());
    let tried = Arc::clone(&candidates);
    ctx.progress.begin(STAGE, "steps", 0, total);
    let attempt = move |_| Training {
        ctx: Arc::clone(&outer),
        data: data.clone(),
        teacher: teacher.clone(),
        uncut: uncut.clone(),
        candidates: Arc::clone(&tried),
        train: train.clone(),
        rungs: steps.clone(),
        workers: 1,
    };
    let standings = run_graph(ctx.workers, &fields, attempt, ctx.halt(STAGE))?;
    if standings.len() < fields.len() {
        let rung = standings.len() as u64;
        return Err(ctx.stopped(STAGE, rung, fields.len() as u64));
    }
    ctx.progress.end("");
    for field in &standings {
        for verdict in field {
            let number = usize::try_from(verdict.candidate).unwrap_or(usize::MAX);
            found.candidates[number].rungs.push(verdict.loss);
        }
    }
    for (number, fared) in
        (0..).zip(&mut found.candidates).filter(|(_, fared)| !fared.rungs.is_empty())
    {
        fared.curve = curve(&ctx.run.path.join(directory(number)))?;
    }
    let best =
        standings.last().and_then(|field| field.first()).map_or(0, |verdict| verdict.candidate);
    found.choice = usize::try_from(best).unwrap_or(0);
    // What they would go on from is not needed any more; what they learnt is in their metrics.
    for number in 0..found.candidates.len() as u64 {
        let checkpoints = ctx.run.path.join(directory(number)).join("checkpoints");
        if checkpoints.is_dir() {
            std::fs::remove_dir_all(&checkpoints).map_err(Error::io(&checkpoints, "remove"))?;
        }
    }
    Ok(())
}

/// The held-out loss of a run's student by step, as its metrics have it.
pub fn curve(run: &Path) -> Result<Vec<(u64, f64)>, Error> {
    let dir = run.join("metrics").join(super::train::DISTIL);
    let mut points = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(Error::io(&dir, "list"))? {
        let path = entry.map_err(Error::io(&dir, "list"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("evaluations-") {
            continue;
        }
        let table = Table::read(&path)?;
        if let (Some(Column::U64(steps)), Some(Column::F64(losses))) =
            (table.column("step"), table.column("cross_entropy"))
        {
            points.extend(steps.iter().copied().zip(losses.iter().copied()));
        }
    }
    points.sort_by_key(|(step, _)| *step);
    Ok(points)
}

/// The table of blocks: measured once a run, since the clock does not say the same twice.
fn latencies(ctx: &Context, search: &Search, shapes: &[ModelConfig]) -> Result<Latencies, Error> {
    let path = ctx.run.path.join("search").join("latency.json");
    if let Ok((latencies, _)) = sealed::read::<Latencies>(&path) {
        return Ok(latencies);
    }
    ctx.progress.begin("latency", "blocks", 0, shapes.len() as u64);
    let (tokens, device) = (search.prefill_tokens, &ctx.device);
    let latencies = Latencies::measure(shapes, tokens, device, ctx.working, |done, of| {
        ctx.progress.at(done as u64, || format!("of {of} that differ"));
    });
    ctx.progress.end(&format!("{} blocks measured", latencies.blocks.len()));
    sealed::write(&path, &latencies)?;
    Ok(latencies)
}
