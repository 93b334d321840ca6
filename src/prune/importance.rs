//! Activation importance (Muralidharan et al. 2024, arXiv:2407.14679, section 2.2), as a sum over samples.
//!
//! For each site, `S[c] = Σ_samples (mean_seq |x_c|)²`; the sums of two sets of samples add up to the sum of
//! both, in f64, whatever micro-batches they came in. From them:
//!
//! - a residual channel scores `Σ_sites √S[c]` over the outputs of both norms of every layer (the final norm is
//!   not looked at, as in NVIDIA's code);
//! - a neuron scores `√S[c]` at the input of its layer's `down_proj`, after the gate;
//! - a head scores `√(Σ_{c in head} S[c])` at the input of its layer's `o_proj`.

use std::path::Path;

use datasets::table::TableError;
use datasets::table::{Column, Table};
use kernels::attention::Documents;
use kernels::importance::squared_mean_abs;
use kernels::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::axis::Axis;
use crate::model::{Decoder, ModelConfig, Site, Tap};

/// The sums, layer by layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Samples seen.
    pub samples: u64,
    /// At the outputs of `input_layernorm`: `[layers][hidden]`.
    pub input_norm: Vec<Vec<f64>>,
    /// At the outputs of `post_attention_layernorm`: `[layers][hidden]`.
    pub post_attention_norm: Vec<Vec<f64>>,
    /// At the inputs of `o_proj`, summed over each head's channels: `[layers][heads]`.
    pub heads: Vec<Vec<f64>>,
    /// At the inputs of `down_proj`: `[layers][intermediate]`.
    pub neurons: Vec<Vec<f64>>,
}

impl Importance {
    /// Nothing seen yet.
    #[must_use]
    pub fn zeros(config: &ModelConfig) -> Self {
        let zeros = |n: usize| vec![vec![0.0; n]; config.num_hidden_layers];
        Self {
            samples: 0,
            input_norm: zeros(config.hidden_size),
            post_attention_norm: zeros(config.hidden_size),
            heads: zeros(config.num_attention_heads),
            neurons: zeros(config.intermediate_size),
        }
    }

    /// What a micro-batch adds.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    #[must_use]
    pub fn of(decoder: &Decoder, ids: &Tensor<2, Int>, documents: Option<&Documents>) -> Self {
        Self::beside(decoder, ids, documents, &mut |_, _, _| {})
    }

    /// What a micro-batch adds; `tap` sees the same forward pass.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    #[must_use]
    pub fn beside(
        decoder: &Decoder,
        ids: &Tensor<2, Int>,
        documents: Option<&Documents>,
        tap: &mut Tap<'_>,
    ) -> Self {
        let [batch, _] = ids.dims();
        let mut sums = Self::zeros(&decoder.config);
        sums.samples = batch as u64;
        let head_dim = decoder.config.head_dim;
        let _ = decoder.hidden(ids, documents, &mut |layer, site, x| {
            tap(layer, site, x);
            if matches!(site, Site::InputNormInput | Site::PostAttentionNormInput) {
                return;
            }
            let sum = squared_mean_abs(x.clone(), batch);
            match site {
                Site::InputNormInput | Site::PostAttentionNormInput => {}
                Site::InputNorm => sums.input_norm[layer] = sum,
                Site::PostAttentionNorm => sums.post_attention_norm[layer] = sum,
                Site::Neurons => sums.neurons[layer] = sum,
                Site::AttentionOutput => {
                    sums.heads[layer] =
                        sum.chunks(head_dim).map(|head| head.iter().sum()).collect();
                }
            }
        });
        sums
    }

    /// Adds another set of samples.
    pub fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        let pairs = [
            (&mut self.input_norm, &other.input_norm),
            (&mut self.post_attention_norm, &other.post_attention_norm),
            (&mut self.heads, &other.heads),
            (&mut self.neurons, &other.neurons),
        ];
        for (mine, theirs) in pairs {
            for (mine, theirs) in mine.iter_mut().flatten().zip(theirs.iter().flatten()) {
                *mine += theirs;
            }
        }
    }

    /// The first layer with a sum that is not finite, and where: such scores must not be cut by.
    #[must_use]
    pub fn not_finite(&self) -> Option<(usize, &'static str)> {
        let sites = [
            (&self.input_norm, "input_layernorm"),
            (&self.heads, "self_attn.o_proj"),
            (&self.post_attention_norm, "post_attention_layernorm"),
            (&self.neurons, "mlp.down_proj"),
        ];
        let layers = 0..self.heads.len();
        let bad = |sums: &[f64]| sums.iter().any(|s| !s.is_finite());
        let found =
            layers.flat_map(|layer| sites.iter().map(move |(s, name)| (layer, &s[layer], *name)));
        found.into_iter().find(|(_, sums, _)| bad(sums)).map(|(layer, _, name)| (layer, name))
    }

    /// A score for each residual channel.
    #[must_use]
    pub fn hidden_scores(&self) -> Vec<f64> {
        let width = self.input_norm.first().map_or(0, Vec::len);
        let mut scores = vec![0.0; width];
        for site in self.input_norm.iter().chain(&self.post_attention_norm) {
            scores.iter_mut().zip(site).for_each(|(score, sum)| *score += sum.sqrt());
        }
        scores
    }

    /// A score for each neuron of a layer.
    #[must_use]
    pub fn neuron_scores(&self, layer: usize) -> Vec<f64> {
        self.neurons[layer].iter().map(|sum| sum.sqrt()).collect()
    }

    /// A score for each query head of a layer.
    #[must_use]
    pub fn head_scores(&self, layer: usize) -> Vec<f64> {
        self.heads[layer].iter().map(|sum| sum.sqrt()).collect()
    }

    /// Writes the scores, one file an axis: `layer`, `index`, `score`.
    ///
    /// # Errors
    ///
    /// If a file cannot be made durable.
    pub fn write_scores(&self, dir: &Path) -> Result<(), TableError> {
        let layers = 0..self.heads.len();
        let hidden = vec![self.hidden_scores()];
        let neurons = layers.clone().map(|l| self.neuron_scores(l)).collect();
        let heads = layers.map(|l| self.head_scores(l)).collect();
        for (axis, scores) in [
            (Axis::HiddenSize, hidden),
            (Axis::IntermediateSize, neurons),
            (Axis::NumAttentionHeads, heads),
        ] {
            score_table(&scores).write(&dir.join(format!("{}.parquet", axis.name())))?;
        }
        Ok(())
    }
}

fn score_table(scores: &[Vec<f64>]) -> Table {
    let flat = |f: &dyn Fn(usize, usize) -> u64| {
        let cells = scores.iter().enumerate();
        cells.flat_map(|(layer, row)| (0..row.len()).map(move |i| f(layer, i))).collect()
    };
    Table {
        columns: vec![
            ("layer".to_owned(), Column::U64(flat(&|layer, _| layer as u64))),
            ("index".to_owned(), Column::U64(flat(&|_, index| index as u64))),
            ("score".to_owned(), Column::F64(scores.iter().flatten().copied().collect())),
        ],
    }
}
