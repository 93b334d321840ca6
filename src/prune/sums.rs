//! Sums of importance at rest: what a checkpoint of the pass over calibration samples holds, and what scores are made
//! of again without another pass.
//!
//! A Parquet table with the columns `site`, `layer`, `index` and six sums ([`SampleSums`]); in its metadata `samples`,
//! `sites`, and the fingerprints of `teacher` and `tokenizer`. It is read back bit for bit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::store::{Digest, Written};
use datasets::table::{Column, Table, TableError};
use kernels::importance::SampleSums;

use super::fingerprint::Fingerprint;
use super::importance::Importance;
use super::sites::Sites;
use crate::model::ModelConfig;

impl Importance {
    /// Writes the sums of a teacher.
    ///
    /// # Errors
    ///
    /// If the file cannot be made durable.
    pub fn write(&self, path: &Path, of: &Fingerprint) -> Result<Written, TableError> {
        let (mut site, mut layer, mut index) = (vec![], vec![], vec![]);
        let names = SampleSums::default().named().map(|(name, _)| name);
        let mut sums: [Vec<f64>; 6] = Default::default();
        for (name, layers) in self.named() {
            for (l, found) in layers.iter().enumerate() {
                for (column, (_, row)) in sums.iter_mut().zip(found.named()) {
                    column.extend(row);
                }
                for i in 0..found.mean.sum.len() {
                    site.push(name.to_owned());
                    layer.push(l as u64);
                    index.push(i as u64);
                }
            }
        }
        let mut columns = vec![
            ("site", Column::Text(site)),
            ("layer", Column::U64(layer)),
            ("index", Column::U64(index)),
        ];
        columns.extend(names.into_iter().zip(sums.map(Column::F64)));
        let notes = [
            ("samples", self.samples.to_string()),
            ("sites", self.sites.name().to_owned()),
            ("teacher", of.teacher.to_string()),
            ("tokenizer", of.tokenizer.to_string()),
        ];
        let notes = notes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Table::new(columns).write_with(path, &notes)
    }

    /// The sums of a model of this shape, and whose they are.
    ///
    /// # Errors
    ///
    /// [`ImportanceError`] if the file cannot be read, or is of another shape.
    pub fn read(path: &Path, config: &ModelConfig) -> Result<(Self, Fingerprint), ImportanceError> {
        let (table, notes) = Table::read_with(path)?;
        let missing = |what: &'static str| ImportanceError::Malformed { path: path.into(), what };
        let sites = note(&notes, "sites").and_then(Sites::of).ok_or_else(|| missing("sites"))?;
        let samples = note(&notes, "samples").and_then(|n| n.parse().ok());
        let digest = |key: &'static str| -> Result<Digest, ImportanceError> {
            note(&notes, key).and_then(|text| text.parse().ok()).ok_or_else(|| missing(key))
        };
        let of = Fingerprint { teacher: digest("teacher")?, tokenizer: digest("tokenizer")? };
        let mut sums = Self::zeros(config, sites);
        sums.samples = samples.filter(|n| *n > 0).ok_or_else(|| missing("samples"))?;
        let rows = sums.named().into_iter().flat_map(|(_, layers)| layers);
        let expected: usize = rows.map(|sums| sums.mean.sum.len()).sum();
        if table.num_rows() != expected {
            let found = table.num_rows();
            return Err(ImportanceError::Other { path: path.to_owned(), expected, found });
        }
        for (i, name) in SampleSums::default().named().map(|(name, _)| name).into_iter().enumerate()
        {
            let Some(Column::F64(values)) = table.column(name) else { return Err(missing(name)) };
            let mut values = values.iter();
            for found in sums.rows_mut().into_iter().flatten() {
                let rows = found.rows_mut();
                rows[i].iter_mut().zip(&mut values).for_each(|(sum, value)| *sum = *value);
            }
        }
        Ok((sums, of))
    }

    /// The sums of this teacher at these sites, that another run has left.
    ///
    /// # Errors
    ///
    /// [`ImportanceError`] if they are of another teacher, of another tokenizer, or of other sites.
    pub fn read_of(
        path: &Path,
        config: &ModelConfig,
        expected: &Fingerprint,
        sites: Sites,
    ) -> Result<Self, ImportanceError> {
        let (sums, found) = Self::read(path, config)?;
        let foreign = |what, expected: String, found: String| ImportanceError::Foreign {
            path: path.to_owned(),
            what,
            expected,
            found,
        };
        for (what, expected, found) in [
            ("teacher", expected.teacher, found.teacher),
            ("tokenizer", expected.tokenizer, found.tokenizer),
        ] {
            if expected != found {
                return Err(foreign(what, expected.to_string(), found.to_string()));
            }
        }
        if sums.sites != sites {
            return Err(foreign("sites", sites.name().into(), sums.sites.name().into()));
        }
        Ok(sums)
    }
}

fn note<'a>(notes: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    notes.get(key).map(String::as_str)
}

/// What can be wrong with written sums.
#[derive(Debug, thiserror::Error)]
pub enum ImportanceError {
    /// The file cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// It is no file of sums.
    #[error("`{}` is no file of sums: it does not say `{what}`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is not there, or no such thing.
        what: &'static str,
    },
    /// They are not those of a model of this shape.
    #[error("`{}` holds {found} sums, this model has {expected}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// By the model.
        expected: usize,
        /// In the file.
        found: usize,
    },
    /// They are those of something else.
    #[error("`{}` holds sums of another run's {what}: expected {expected}, found {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// `teacher`, `tokenizer` or `sites`.
        what: &'static str,
        /// This run's.
        expected: String,
        /// The file's.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use datasets::store::digest_bytes;

    use super::*;
    use crate::recipe::described;

    fn small() -> ModelConfig {
        let shape = described("llama-3.2-1b").unwrap();
        ModelConfig { hidden_size: 6, intermediate_size: 5, num_hidden_layers: 2, ..shape }
    }

    fn of() -> Fingerprint {
        Fingerprint { teacher: digest_bytes(b"teacher"), tokenizer: digest_bytes(b"tokenizer") }
    }

    #[test]
    fn sums_are_read_back_bit_for_bit_and_not_for_another_model() {
        let small = small();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sums.parquet");
        for sites in [Sites::Nvidia, Sites::Paper] {
            let mut sums = Importance::zeros(&small, sites);
            sums.samples = 3;
            let mut next = 0.1f64;
            for found in sums.rows_mut().into_iter().flatten() {
                for value in found.rows_mut().into_iter().flatten() {
                    next = (next * 1.7 + 1e-17) % 3.0;
                    *value = next;
                }
            }
            sums.attention[1].l2.squares[2] = f64::MAX;
            sums.write(&path, &of()).unwrap();
            assert_eq!(Importance::read(&path, &small).unwrap(), (sums, of()));
        }
        let other = ModelConfig { intermediate_size: 6, ..small };
        let error = Importance::read(&path, &other).unwrap_err().to_string();
        // Two norms, 32 heads and 6 neurons, twice.
        assert!(error.ends_with("holds 98 sums, this model has 100"), "{error}");
    }

    #[test]
    fn sums_of_another_teacher_tokenizer_or_sites_are_refused() {
        let (small, of) = (small(), of());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sums.parquet");
        let mut sums = Importance::zeros(&small, Sites::Nvidia);
        sums.samples = 1;
        sums.write(&path, &of).unwrap();
        let read = |of: &Fingerprint, sites| Importance::read_of(&path, &small, of, sites);
        assert_eq!(read(&of, Sites::Nvidia).unwrap(), sums);
        let other = digest_bytes(b"other");
        for (of, sites, message) in [
            (Fingerprint { teacher: other, ..of }, Sites::Nvidia, "another run's teacher"),
            (Fingerprint { tokenizer: other, ..of }, Sites::Nvidia, "another run's tokenizer"),
            (of, Sites::Paper, "another run's sites: expected paper, found nvidia"),
        ] {
            let error = read(&of, sites).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
