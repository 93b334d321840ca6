//! Activation importance (Muralidharan et al. 2024, arXiv:2407.14679, section 2.2), as sums over samples.
//!
//! What is kept of a site are the sums from which every aggregation is made ([`SampleSums`]); the sums of two sets of
//! samples add up to the sums of both, in f64, whatever micro-batches they came in. The final norm is not looked at,
//! as in NVIDIA's code.

use kernels::attention::Documents;
use kernels::importance::{SampleSums, head_norms, sample_sums};
use kernels::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::sites::Sites;
use crate::model::{Decoder, ModelConfig, Site, Tap};

/// The sums, layer by layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Where it looked.
    pub sites: Sites,
    /// Samples seen.
    pub samples: u64,
    /// At the outputs of `input_layernorm`: `[layers]` of `hidden`.
    pub input_norm: Vec<SampleSums>,
    /// At attention's outputs: `[layers]` of `heads * head_dim`, or of `heads` at the paper's sites.
    pub attention: Vec<SampleSums>,
    /// At the outputs of `post_attention_layernorm`: `[layers]` of `hidden`.
    pub post_attention_norm: Vec<SampleSums>,
    /// At the inputs of `down_proj`, or the outputs of `gate_proj` at the paper's sites: `[layers]` of `intermediate`.
    pub neurons: Vec<SampleSums>,
}

impl Importance {
    /// Nothing seen yet.
    #[must_use]
    pub fn zeros(config: &ModelConfig, sites: Sites) -> Self {
        let zeros = |n: usize| vec![SampleSums::zeros(n); config.num_hidden_layers];
        Self {
            sites,
            samples: 0,
            input_norm: zeros(config.hidden_size),
            attention: zeros(sites.attention_values(config)),
            post_attention_norm: zeros(config.hidden_size),
            neurons: zeros(config.intermediate_size),
        }
    }

    /// What a micro-batch adds.
    ///
    /// # Shapes
    ///
    /// - ids: `[batch, seq]`
    #[must_use]
    pub fn of(
        decoder: &Decoder,
        ids: &Tensor<2, Int>,
        documents: Option<&Documents>,
        sites: Sites,
    ) -> Self {
        Self::beside(decoder, ids, documents, sites, &mut |_, _, _| {})
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
        sites: Sites,
        tap: &mut Tap<'_>,
    ) -> Self {
        let [batch, _] = ids.dims();
        let mut sums = Self::zeros(&decoder.config, sites);
        sums.samples = batch as u64;
        let heads = decoder.config.num_attention_heads;
        let _ = decoder.hidden(ids, documents, &mut |layer, site, x| {
            tap(layer, site, x);
            let looked_at = match (site, sites) {
                (Site::InputNormInput | Site::PostAttentionNormInput, _) => return,
                (Site::InputNorm, _) => &mut sums.input_norm,
                (Site::PostAttentionNorm, _) => &mut sums.post_attention_norm,
                (Site::AttentionOutput, Sites::Nvidia) => &mut sums.attention,
                (Site::AttentionOutput, Sites::Paper) => {
                    sums.attention[layer] = sample_sums(head_norms(x.clone(), heads), batch);
                    return;
                }
                (Site::Neurons, Sites::Nvidia) | (Site::Gate, Sites::Paper) => &mut sums.neurons,
                (Site::Neurons, Sites::Paper) | (Site::Gate, Sites::Nvidia) => return,
            };
            looked_at[layer] = sample_sums(x.clone(), batch);
        });
        sums
    }

    /// Adds another set of samples.
    pub fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        let theirs = other.named();
        for (mine, (_, theirs)) in self.rows_mut().into_iter().zip(theirs) {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.add(theirs));
        }
    }

    /// The sums by site, in the order that a file has them.
    pub(super) fn named(&self) -> [(&'static str, &Vec<SampleSums>); 4] {
        [
            ("input_norm", &self.input_norm),
            ("attention", &self.attention),
            ("post_attention_norm", &self.post_attention_norm),
            ("neurons", &self.neurons),
        ]
    }

    /// As [`named`](Self::named), to be written to.
    pub(super) fn rows_mut(&mut self) -> [&mut Vec<SampleSums>; 4] {
        [
            &mut self.input_norm,
            &mut self.attention,
            &mut self.post_attention_norm,
            &mut self.neurons,
        ]
    }

    /// The first layer with a sum that is not finite, and where: such scores must not be cut by.
    #[must_use]
    pub fn not_finite(&self) -> Option<(usize, &'static str)> {
        let neurons = match self.sites {
            Sites::Nvidia => "mlp.down_proj",
            Sites::Paper => "mlp.gate_proj",
        };
        let names = ["input_layernorm", "self_attn.o_proj", "post_attention_layernorm", neurons];
        let bad = |sums: &SampleSums| {
            sums.named().into_iter().flat_map(|(_, row)| row).any(|s| !s.is_finite())
        };
        let sites: Vec<_> = self.named().into_iter().zip(names).collect();
        (0..self.attention.len()).find_map(|layer| {
            let found = sites.iter().find(|((_, sums), _)| bad(&sums[layer]));
            found.map(|(_, name)| (layer, *name))
        })
    }
}
