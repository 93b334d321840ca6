//! The power of the residual stream, and what a norm is corrected by when channels go.
//!
//! RMSNorm divides by the root mean square of all channels. Of a student it is that of the channels `E` that stay,
//! which are the larger ones, so the norm gives less than it did. The correction is one factor for each norm,
//! `γ' = γ · √(mean_E x² / mean_all x²)`, with `x` the norm's input over all calibration tokens. Neither the papers nor
//! NVIDIA's code corrects; distillation learns it.

use std::path::Path;

use datasets::store::Written;
use datasets::table::{Column, Table, TableError};
use kernels::Tensor;
use kernels::squares::squares;
use serde::{Deserialize, Serialize};

use super::plan::PrunePlan;
use super::sums::ImportanceError;
use crate::model::{ModelConfig, Site};

/// `Σ_tokens x²` of each channel at the input of every norm, in f64: `[2 * layers + 1][hidden]`, layer by layer the
/// input norm and the post-attention norm, and the final norm at last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    power: Vec<Vec<f64>>,
}

impl Residual {
    /// Nothing seen yet.
    #[must_use]
    pub fn zeros(config: &ModelConfig) -> Self {
        Self { power: vec![vec![0.0; config.hidden_size]; 2 * config.num_hidden_layers + 1] }
    }

    /// Adds what passes at a site, if it is the input of a norm: called by the tap of a forward pass.
    ///
    /// # Shapes
    ///
    /// - x: `[batch * seq, hidden]`
    pub fn see(&mut self, layer: usize, site: Site, x: &Tensor<2>, batch: usize) {
        let norm = match site {
            // The final norm stands where another layer would.
            Site::InputNormInput => 2 * layer,
            Site::PostAttentionNormInput => 2 * layer + 1,
            _ => return,
        };
        let sums = squares(x.clone(), batch);
        self.power[norm].iter_mut().zip(sums).for_each(|(power, sum)| *power += sum);
    }

    /// Adds another set of samples.
    pub fn add(&mut self, other: &Self) {
        let sums = self.power.iter_mut().flatten().zip(other.power.iter().flatten());
        sums.for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The first layer with a sum that is not finite, and where; the final norm counts as a layer of its own.
    #[must_use]
    pub fn not_finite(&self) -> Option<(usize, &'static str)> {
        let bad = self.power.iter().position(|sums| sums.iter().any(|sum| !sum.is_finite()))?;
        let is_last = bad + 1 == self.power.len();
        let site = match bad % 2 {
            _ if is_last => "norm",
            0 => "input_layernorm",
            _ => "post_attention_layernorm",
        };
        Some((bad / 2, site))
    }

    /// Writes the sums: `norm`, `channel`, `sum`.
    ///
    /// # Errors
    ///
    /// If the file cannot be made durable.
    pub fn write(&self, path: &Path) -> Result<Written, TableError> {
        let cells = || {
            let rows = self.power.iter().enumerate();
            rows.flat_map(|(norm, row)| (0..row.len()).map(move |channel| (norm, channel)))
        };
        Table::new([
            ("norm", Column::U64(cells().map(|(norm, _)| norm as u64).collect())),
            ("channel", Column::U64(cells().map(|(_, channel)| channel as u64).collect())),
            ("sum", Column::F64(self.power.iter().flatten().copied().collect())),
        ])
        .write(path)
    }

    /// The sums of a model of this shape, bit for bit.
    ///
    /// # Errors
    ///
    /// [`ImportanceError`] if the file cannot be read, or is another model's.
    pub fn read(path: &Path, config: &ModelConfig) -> Result<Self, ImportanceError> {
        let table = Table::read(path)?;
        let mut sums = Self::zeros(config);
        let expected = sums.power.len() * config.hidden_size;
        let values = match table.column("sum") {
            Some(Column::F64(values)) => values.as_slice(),
            _ => &[],
        };
        if values.len() != expected {
            let (path, found) = (path.to_owned(), values.len());
            return Err(ImportanceError::Other { path, expected, found });
        }
        sums.power.iter_mut().flatten().zip(values).for_each(|(sum, value)| *sum = *value);
        Ok(sums)
    }

    /// What γ of a norm is multiplied by if these channels stay; 1 where nothing has passed.
    fn gain(&self, norm: usize, kept: &[usize]) -> f64 {
        let power = &self.power[norm];
        let mean = |sum: f64, count: usize| sum / count as f64;
        let all = mean(power.iter().sum(), power.len());
        let stay = mean(kept.iter().map(|channel| power[*channel]).sum(), kept.len());
        if all > 0.0 && stay > 0.0 { (stay / all).sqrt() } else { 1.0 }
    }
}

impl PrunePlan {
    /// Says what γ of each norm is multiplied by; nothing if all channels stay.
    pub fn compensate(&mut self, residual: &Residual) {
        let Some(last) = residual.power.len().checked_sub(1) else { return };
        if self.hidden.len() == residual.power[last].len() {
            return;
        }
        self.norm_gain = Some(residual.gain(last, &self.hidden));
        for layer in &mut self.layers {
            let norms = [2 * layer.source, 2 * layer.source + 1];
            layer.norm_gains = Some(norms.map(|norm| residual.gain(norm, &self.hidden)));
        }
    }
}
