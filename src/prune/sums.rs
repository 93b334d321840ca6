//! Sums of importance at rest: what a checkpoint of the pass over calibration samples holds.
//!
//! A Parquet table with the columns `site`, `layer`, `index`, `sum` and, the same in every row, `samples`. It is
//! read back bit for bit.

use std::path::{Path, PathBuf};

use datasets::store::Written;
use datasets::table::{Column, Table, TableError};

use super::importance::Importance;
use crate::model::ModelConfig;

impl Importance {
    fn sites(&self) -> [(&'static str, &Vec<Vec<f64>>); 4] {
        [
            ("input_norm", &self.input_norm),
            ("post_attention_norm", &self.post_attention_norm),
            ("heads", &self.heads),
            ("neurons", &self.neurons),
        ]
    }

    /// Writes the sums.
    ///
    /// # Errors
    ///
    /// If the file cannot be made durable.
    pub fn write(&self, path: &Path) -> Result<Written, TableError> {
        let (mut site, mut layer, mut index, mut sum) = (vec![], vec![], vec![], vec![]);
        for (name, sums) in self.sites() {
            for (l, i, value) in sums
                .iter()
                .enumerate()
                .flat_map(|(l, row)| row.iter().enumerate().map(move |(i, v)| (l, i, *v)))
            {
                site.push(name.to_owned());
                layer.push(l as u64);
                index.push(i as u64);
                sum.push(value);
            }
        }
        let samples = vec![self.samples; sum.len()];
        Table::new([
            ("site", Column::Text(site)),
            ("layer", Column::U64(layer)),
            ("index", Column::U64(index)),
            ("sum", Column::F64(sum)),
            ("samples", Column::U64(samples)),
        ])
        .write(path)
    }

    /// The sums of a model of this shape.
    ///
    /// # Errors
    ///
    /// [`ImportanceError`] if the file cannot be read, or is another model's.
    pub fn read(path: &Path, config: &ModelConfig) -> Result<Self, ImportanceError> {
        let table = Table::read(path)?;
        let mut sums = Self::zeros(config);
        let expected: usize =
            sums.sites().iter().flat_map(|(_, rows)| rows.iter()).map(Vec::len).sum();
        let (Some(Column::F64(values)), Some(Column::U64(samples))) =
            (table.column("sum"), table.column("samples"))
        else {
            return Err(ImportanceError::Other { path: path.to_owned(), expected, found: 0 });
        };
        if values.len() != expected {
            return Err(ImportanceError::Other {
                path: path.to_owned(),
                expected,
                found: values.len(),
            });
        }
        sums.samples = samples.first().copied().unwrap_or(0);
        let mut values = values.iter();
        for site in [
            &mut sums.input_norm,
            &mut sums.post_attention_norm,
            &mut sums.heads,
            &mut sums.neurons,
        ] {
            site.iter_mut().flatten().zip(&mut values).for_each(|(sum, value)| *sum = *value);
        }
        Ok(sums)
    }
}

/// What can be wrong with written sums.
#[derive(Debug, thiserror::Error)]
pub enum ImportanceError {
    /// The file cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// They are not those of this model.
    #[error("`{}` holds {found} sums, this model has {expected}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// By the model.
        expected: usize,
        /// In the file.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::described;

    #[test]
    fn sums_are_read_back_bit_for_bit_and_not_for_another_model() {
        let shape = described("llama-3.2-1b").unwrap();
        let small =
            ModelConfig { hidden_size: 6, intermediate_size: 5, num_hidden_layers: 2, ..shape };
        let mut sums = Importance::zeros(&small);
        sums.samples = 3;
        for (i, value) in sums.neurons.iter_mut().flatten().enumerate() {
            *value = 0.1 * (i as f64) + 1e-17;
        }
        sums.heads[1][2] = f64::MAX;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sums.parquet");
        sums.write(&path).unwrap();
        assert_eq!(Importance::read(&path, &small).unwrap(), sums);
        let other = ModelConfig { intermediate_size: 6, ..small };
        let error = Importance::read(&path, &other).unwrap_err().to_string();
        assert!(error.ends_with("sums, this model has 100"), "{error}");
    }
}
