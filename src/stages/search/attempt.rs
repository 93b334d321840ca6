//! A candidate learns for one rung: a run inside of the run, `search/candidate-<number>`, that stops at the rung's step
//! and goes on from there at the next.

use std::sync::Arc;

use dataflows::graphs::Attempt;
use dataflows::{Failure, Step};
use kernels::loss::LossSums;
use serde_json::json;

use super::Candidate;
use crate::error::Error;
use crate::eval::losses;
use crate::model::Decoder;
use crate::prune::cut;
use crate::recipe::{Prune, Recipe, Train};
use crate::stages::context::Context;
use crate::stages::data::Data;
use crate::stages::{models, train};

/// Trains candidates of a search.
pub struct Training {
    /// Of the search.
    pub ctx: Arc<Context>,
    /// The tokens.
    pub data: Data,
    /// Who teaches.
    pub teacher: Decoder,
    /// What candidates are cut out of.
    pub uncut: Decoder,
    /// All of them.
    pub candidates: Arc<Vec<Candidate>>,
    /// How they are trained, to the end of the last rung.
    pub train: Train,
    /// Steps that are taken at the end of each rung.
    pub rungs: Vec<u64>,
    /// Workers of a candidate's own graph.
    pub workers: usize,
}

/// Where a candidate's run lies in the run.
pub fn directory(candidate: u64) -> String {
    format!("search/candidate-{candidate:03}")
}

/// The stage of a candidate's run that is sealed at the end of a rung.
pub fn rung_name(rung: u64) -> String {
    format!("rung-{rung}")
}

impl Attempt for Training {
    fn attempt(&mut self, rung: Step, candidate: u64) -> Result<Option<f64>, Failure> {
        match self.try_one(rung.0, candidate) {
            Ok(loss) => Ok(Some(loss)),
            Err(Error::Stopped { .. }) => Ok(None),
            Err(error) => Err(Failure::of(error)),
        }
    }
}

impl Training {
    fn try_one(&self, rung: u64, candidate: u64) -> Result<f64, Error> {
        let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (Some(until), Some(chosen)) =
            (self.rungs.get(place(rung)), self.candidates.get(place(candidate)))
        else {
            return Err(self.ctx.run.no_checkpoint(super::STAGE));
        };
        let inner = self.ctx.within(&directory(candidate), self.recipe(chosen), self.workers)?;
        if let Some(loss) = sealed(&inner, rung) {
            let before = rung.checked_sub(1).map_or(0, |before| self.rungs[place(before)]);
            self.ctx.progress.already(until - before);
            return Ok(loss);
        }
        let begin = || Ok(cut(&self.uncut, &chosen.plan)?);
        train::candidate(
            &inner,
            &self.data,
            &self.teacher,
            &chosen.config,
            &self.train,
            begin,
            *until,
        )?;
        let student = models::trained(&inner, train::DISTIL, &chosen.config)?;
        let student = train::in_working_type(&inner, &student);
        let loss = mean(&losses::over(&student, None, &self.data.held_out));
        // As text: serde_json does not read every f64 back to the same bits.
        let said = json!({"steps": until, "cross_entropy": loss.to_string()});
        inner.run.write_seal(&rung_name(rung), said)?;
        Ok(loss)
    }

    /// What the candidate's run says that it is.
    fn recipe(&self, chosen: &Candidate) -> Recipe {
        let prune = self.ctx.run.recipe.prune.clone().unwrap_or_default();
        let size = |n| Some(crate::recipe::Size::Exact(n));
        Recipe {
            prune: Some(Prune {
                hidden_size: size(chosen.config.hidden_size),
                intermediate_size: size(chosen.config.intermediate_size),
                num_attention_heads: size(chosen.config.num_attention_heads),
                num_key_value_heads: size(chosen.config.num_key_value_heads),
                num_hidden_layers: size(chosen.config.num_hidden_layers),
                drop_layers: Vec::new(),
                ..prune
            }),
            search: None,
            distil: Some(self.train.clone()),
            ..self.ctx.run.recipe.clone()
        }
    }
}

/// The loss that was sealed at the end of a rung.
pub fn sealed(inner: &Context, rung: u64) -> Option<f64> {
    inner.run.seal(&rung_name(rung))?.result.get("cross_entropy")?.as_str()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
fn mean(sums: &LossSums) -> f64 {
    sums.cross_entropy / sums.tokens.max(1) as f64
}
