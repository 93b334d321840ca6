//! Sums and weights into one number for each channel, neuron and head; pure functions.
//!
//! - a residual channel scores the sum over the outputs of both norms of every layer (network-wide);
//! - a neuron and a head score what their layer says of them.
//!
//! With `activation_times_magnitude` the aggregate of a channel is multiplied with the norm of the weights that read it,
//! `‖W[:, c]‖ · agg(x_c)`, as in ModelOpt's `IndependentChannelContributionHook`.

use std::path::Path;

use datasets::random::{stream, uniform};
use datasets::table::{Column, Table, TableError};
use kernels::importance::SampleSums;
use serde::{Deserialize, Serialize};

use super::aggregation::Aggregations;
use super::axis::Axis;
use super::importance::Importance;
use super::magnitude::{Readers, norms};
use super::sites::Sites;
use crate::model::{Decoder, ModelConfig};

/// What is scored by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Activations.
    #[default]
    Activation,
    /// The weights that go.
    Magnitude,
    /// Activations and the weights that read them.
    ActivationTimesMagnitude,
    /// Nothing: what others are compared with.
    Random,
}

impl Score {
    /// Whether it looks at activations.
    #[must_use]
    pub fn observes(self) -> bool {
        matches!(self, Self::Activation | Self::ActivationTimesMagnitude)
    }

    /// Whether it looks at weights.
    #[must_use]
    pub fn weighs(self) -> bool {
        matches!(self, Self::Magnitude | Self::ActivationTimesMagnitude)
    }
}

/// The scores of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Of residual channels: `[hidden]`.
    pub hidden: Vec<f64>,
    /// Of query heads: `[layers][heads]`.
    pub heads: Vec<Vec<f64>>,
    /// Of neurons: `[layers][intermediate]`.
    pub neurons: Vec<Vec<f64>>,
}

impl Scores {
    /// By activations, as aggregated.
    #[must_use]
    pub fn activation(importance: &Importance, by: Aggregations, config: &ModelConfig) -> Self {
        Self::weighted(importance, by, config, None)
    }

    /// By activations and the weights that read them.
    #[must_use]
    pub fn product(importance: &Importance, by: Aggregations, decoder: &Decoder) -> Self {
        Self::weighted(importance, by, &decoder.config, Some(decoder))
    }

    /// Drawn: a function of the seed alone, from 0 to 1.
    #[must_use]
    pub fn random(config: &ModelConfig, seed: u64) -> Self {
        let draw = |purpose: &str, layer: usize, count: usize| -> Vec<f64> {
            let mut stream = stream(seed, purpose, layer as u64, 0);
            (0..count).map(|_| uniform(&mut stream)).collect()
        };
        let layers = 0..config.num_hidden_layers;
        Self {
            hidden: draw("random hidden channels", 0, config.hidden_size),
            heads: layers
                .clone()
                .map(|l| draw("random heads", l, config.num_attention_heads))
                .collect(),
            neurons: layers.map(|l| draw("random neurons", l, config.intermediate_size)).collect(),
        }
    }

    fn weighted(
        importance: &Importance,
        by: Aggregations,
        config: &ModelConfig,
        weights: Option<&Decoder>,
    ) -> Self {
        let scores = |sums: &SampleSums| by.scores(sums, importance.samples);
        let times = |mut scores: Vec<f64>, factors: Option<&Vec<f64>>| {
            for (score, factor) in scores.iter_mut().zip(factors.into_iter().flatten()) {
                *score *= factor;
            }
            scores
        };
        let heads = config.num_attention_heads;
        let mut found = Self { hidden: vec![0.0; config.hidden_size], ..Self::default() };
        for layer in 0..importance.neurons.len() {
            let readers = weights.map(|decoder| Readers::of(&decoder.parameters.layers[layer]));
            let readers = readers.as_ref();
            let input = scores(&importance.input_norm[layer]);
            let input = times(input, readers.map(|r| &r.input_norm));
            let post = scores(&importance.post_attention_norm[layer]);
            let post = times(post, readers.map(|r| &r.post_attention_norm));
            for site in [input, post] {
                found.hidden.iter_mut().zip(site).for_each(|(sum, score)| *sum += score);
            }
            let neurons = scores(&importance.neurons[layer]);
            found.neurons.push(times(neurons, readers.map(|r| &r.neurons)));
            let attention = scores(&importance.attention[layer]);
            let squares = readers.map(|r| &r.attention_squares);
            found.heads.push(match importance.sites {
                Sites::Nvidia => {
                    let squared = attention.iter().map(|score| score * score).collect();
                    norms(&times(squared, squares), heads)
                }
                Sites::Paper => times(attention, squares.map(|s| norms(s, heads)).as_ref()),
            });
        }
        found
    }

    /// The first layer with a score that is not finite, and which: weights can be no numbers, too. What is of the whole
    /// network is of layer 0.
    #[must_use]
    pub fn not_finite(&self) -> Option<(usize, &'static str)> {
        let bad = |scores: &[f64]| scores.iter().any(|score| !score.is_finite());
        let of = |rows: &[Vec<f64>], name| rows.iter().position(|row| bad(row)).map(|l| (l, name));
        let layers = [of(&self.heads, "self_attn"), of(&self.neurons, "mlp")];
        let first = layers.into_iter().flatten().min_by_key(|(layer, _)| *layer);
        first.or_else(|| bad(&self.hidden).then_some((0, "hidden channels")))
    }

    /// Writes the scores, one file an axis: `layer`, `index`, `score`.
    ///
    /// # Errors
    ///
    /// If a file cannot be made durable.
    pub fn write(&self, dir: &Path) -> Result<(), TableError> {
        let hidden = std::slice::from_ref(&self.hidden);
        for (axis, scores) in [
            (Axis::HiddenSize, hidden),
            (Axis::IntermediateSize, &self.neurons),
            (Axis::NumAttentionHeads, &self.heads),
        ] {
            score_table(scores).write(&dir.join(format!("{}.parquet", axis.name())))?;
        }
        Ok(())
    }
}

fn score_table(scores: &[Vec<f64>]) -> Table {
    let flat = |f: &dyn Fn(usize, usize) -> u64| {
        let cells = scores.iter().enumerate();
        cells.flat_map(|(layer, row)| (0..row.len()).map(move |i| f(layer, i))).collect()
    };
    Table::new([
        ("layer", Column::U64(flat(&|layer, _| layer as u64))),
        ("index", Column::U64(flat(&|_, index| index as u64))),
        ("score", Column::F64(scores.iter().flatten().copied().collect())),
    ])
}
