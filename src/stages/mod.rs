//! The stages of a run, in their order: what implements the roles of the graphs.
//!
//! ```text
//! prepare → pretrain → correct → capture → observe → depth → search → prune → distil → control → evaluate → export
//! ```
//!
//! A stage that is sealed is passed over, one that is not goes on from its newest checkpoint, so a run that is
//! resumed is the same calls again. Those that the recipe does not ask for are not there.
//!
//! | module | its graph | its state |
//! |---|---|---|
//! | [`prepare`] | [`pass`](dataflows::graphs::pass) over the chunks of the text | the shards so far |
//! | [`train`] | [`distil`](dataflows::graphs::distil): pretrain, correct, distil, control | weights, moments, rows |
//! | [`capture`] | `pass` over samples by length, on [`hands`] too | none: the cache has its own log |
//! | [`observe`] | `pass` over calibration sequences | sums of importance |
//! | [`depth`] | `pass` over calibration sequences, or over items | sums of each layer's and block's removal |
//! | [`search`] | `pass` over candidates, then [`search`](dataflows::graphs::search) | a run inside of the run for each |
//! | [`prune`] | none: a pure function of the scores | |
//! | [`evaluate`] | `pass` over held-out sequences, then over items | sums of losses, and of answers |
//! | [`export`] | none: files | |

pub mod calibration;
pub mod capture;
pub mod commit;
pub mod context;
pub mod data;
pub mod depth;
pub mod evaluate;
pub mod export;
pub mod hands;
pub mod inputs;
pub mod logits;
pub mod models;
pub mod observe;
pub mod passes;
pub mod prepare;
pub mod prune;
pub mod questions;
pub mod search;
pub mod sources;
pub mod stepwise;
pub mod then;
pub mod train;
pub mod watch;

use std::sync::Arc;

pub use context::Context;
use serde::Serialize;

use crate::error::Error;
use data::Data;

/// What models are worth.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// Those of the run.
    #[serde(flatten)]
    pub evaluated: evaluate::Evaluated,
    /// Those of the smaller students, by the names of their tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<(String, evaluate::Evaluated)>,
}

/// Runs what is left of the run, and gives what its models are worth; nothing if only tokens are made, or
/// no model is evaluated.
///
/// # Errors
/// The first stage that fails to begin or to end; [`Error::Stopped`] if the run was asked to stop. A failure inside
/// of a graph does not return: it goes to the context's halt.
pub fn run(ctx: &Arc<Context>) -> Result<Option<Done>, Error> {
    prepare::prepare(ctx)?;
    if ctx.run.recipe.is_data_alone() {
        return Ok(None);
    }
    let data = Data::open(ctx)?;
    questions::check(ctx, &data)?;
    let evaluated = learn(ctx, &data)?;
    let then = then::then(ctx, &data)?;
    Ok(evaluated.map(|evaluated| Done { evaluated, then }))
}

/// All that follows once there are tokens.
fn learn(ctx: &Arc<Context>, data: &Data) -> Result<Option<evaluate::Evaluated>, Error> {
    train::pretrain(ctx, data)?;
    train::correct(ctx, data)?;
    capture::capture(ctx, data)?;
    observe::observe(ctx, data)?;
    depth::depth(ctx, data)?;
    search::search(ctx, data)?;
    prune::prune(ctx, data)?;
    train::distil(ctx, data)?;
    train::control(ctx, data)?;
    export::cut_student(ctx, data)?;
    let evaluated = evaluate::evaluate(ctx, data)?;
    export::export(ctx, data)?;
    Ok(evaluated)
}

/// The stages that a recipe asks for, with their steps where the recipe alone says how many.
pub fn steps_of(recipe: &crate::recipe::Recipe) -> Vec<(&'static str, Option<u64>)> {
    let seq_tokens = recipe.tokens.seq_tokens;
    let distil = recipe.distil.as_ref().map(|train| train.steps_for(seq_tokens));
    let mut stages = vec![("prepare", None)];
    stages.extend(
        recipe
            .pretrain
            .as_ref()
            .map(|train| ("pretrain", Some(train.train().steps_for(seq_tokens)))),
    );
    let correct = recipe.correction_before();
    stages.extend(correct.map(|train| ("correct", Some(train.steps_for(seq_tokens)))));
    stages.extend(recipe.capture.as_ref().map(|_| ("capture", None)));
    if let Some(prune) = &recipe.prune {
        stages.extend(prune.plan.is_none().then_some(("observe", None)));
        stages.extend(recipe.searches_layers().then_some(("depth", None)));
        stages.extend(recipe.search.is_some().then_some(("search", None)));
        stages.push(("prune", None));
    }
    stages.extend(distil.map(|steps| ("distil", Some(steps))));
    stages
        .extend(distil.filter(|_| recipe.control.is_some()).map(|steps| ("control", Some(steps))));
    if !recipe.is_data_alone() {
        stages.extend([("evaluate", None), ("export", None)]);
    }
    stages
}
