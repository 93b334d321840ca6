//! What models made of text and of multiple-choice items, by model, and at rest in two tables: the second only where
//! there are items.

use std::path::{Path, PathBuf};

use datasets::store::Written;
use datasets::table::{Column, Table, TableError};
use kernels::loss::LossSums;

use super::choice::Answers;
use crate::error::Error;

/// By model.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    /// Of text.
    pub losses: Vec<LossSums>,
    /// Of items, where there are any.
    pub answers: Option<Vec<Answers>>,
}

/// The names of the tables.
const LOSSES: &str = "sums.parquet";
const ANSWERS: &str = "answers.parquet";

impl Sums {
    /// Of `count` models that have seen nothing yet.
    #[must_use]
    pub fn zeros(count: usize, has_items: bool) -> Self {
        let answers = has_items.then(|| vec![Answers::default(); count]);
        Self { losses: vec![LossSums::default(); count], answers }
    }

    /// Writes the tables into a folder, and names them.
    ///
    /// # Errors
    ///
    /// If a file cannot be made durable.
    pub fn write(&self, dir: &Path) -> Result<Vec<(&'static str, Written)>, TableError> {
        let mut written = vec![(LOSSES, losses_table(&self.losses).write(&dir.join(LOSSES))?)];
        if let Some(answers) = &self.answers {
            written.push((ANSWERS, answers_table(answers).write(&dir.join(ANSWERS))?));
        }
        Ok(written)
    }

    /// What was written of `count` models.
    ///
    /// # Errors
    ///
    /// [`Error::Table`] if a table cannot be read, [`Error::Malformed`] if it is of other models.
    pub fn read(dir: &Path, count: usize, has_items: bool) -> Result<Self, Error> {
        let rows = |name| Rows::open(dir.join(name), count);
        let answers = has_items.then(|| rows(ANSWERS)?.answers()).transpose()?;
        Ok(Self { losses: rows(LOSSES)?.losses()?, answers })
    }
}

fn losses_table(sums: &[LossSums]) -> Table {
    Table::new([
        ("tokens", Column::U64(sums.iter().map(|s| s.tokens).collect())),
        ("agreed", Column::U64(sums.iter().map(|s| s.agreed).collect())),
        ("cross_entropy", Column::F64(sums.iter().map(|s| s.cross_entropy).collect())),
        ("forward_kl", Column::F64(sums.iter().map(|s| s.forward_kl).collect())),
        (
            "teacher_cross_entropy",
            Column::F64(sums.iter().map(|s| s.teacher_cross_entropy).collect()),
        ),
    ])
}

fn answers_table(answers: &[Answers]) -> Table {
    let count = |f: fn(&Answers) -> u64| Column::U64(answers.iter().map(f).collect());
    Table::new([
        ("items", count(|a| a.items)),
        ("right", count(|a| a.right)),
        ("right_norm", count(|a| a.right_norm)),
        ("log_likelihood", Column::F64(answers.iter().map(|a| a.log_likelihood).collect())),
    ])
}

/// A table with a row a model.
struct Rows {
    path: PathBuf,
    table: Table,
    count: usize,
}

impl Rows {
    fn open(path: PathBuf, count: usize) -> Result<Self, Error> {
        Ok(Self { table: Table::read(&path)?, path, count })
    }

    fn losses(&self) -> Result<Vec<LossSums>, Error> {
        let (tokens, agreed) = (self.counts("tokens")?, self.counts("agreed")?);
        let cross_entropy = self.numbers("cross_entropy")?;
        let forward_kl = self.numbers("forward_kl")?;
        let teacher = self.numbers("teacher_cross_entropy")?;
        let sums = |i: usize| LossSums {
            tokens: tokens[i],
            cross_entropy: cross_entropy[i],
            forward_kl: forward_kl[i],
            agreed: agreed[i],
            teacher_cross_entropy: teacher[i],
            ..LossSums::default()
        };
        Ok((0..self.count).map(sums).collect())
    }

    fn answers(&self) -> Result<Vec<Answers>, Error> {
        let (items, right) = (self.counts("items")?, self.counts("right")?);
        let right_norm = self.counts("right_norm")?;
        let log_likelihood = self.numbers("log_likelihood")?;
        let answers = |i: usize| Answers {
            items: items[i],
            right: right[i],
            right_norm: right_norm[i],
            log_likelihood: log_likelihood[i],
        };
        Ok((0..self.count).map(answers).collect())
    }

    fn counts(&self, name: &str) -> Result<&[u64], Error> {
        match self.table.column(name) {
            Some(Column::U64(values)) if values.len() == self.count => Ok(values),
            _ => Err(self.malformed()),
        }
    }

    fn numbers(&self, name: &str) -> Result<&[f64], Error> {
        match self.table.column(name) {
            Some(Column::F64(values)) if values.len() == self.count => Ok(values),
            _ => Err(self.malformed()),
        }
    }

    fn malformed(&self) -> Error {
        let reason = format!("expected the sums of {} models", self.count);
        Error::Malformed { path: self.path.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_back_and_those_of_other_models_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut sums = Sums::zeros(2, true);
        sums.losses[1] = LossSums { tokens: 3, cross_entropy: 0.1, ..LossSums::default() };
        let answers = Answers { items: 5, right: 2, right_norm: 3, log_likelihood: -0.3 };
        sums.answers.as_mut().unwrap()[0] = answers;
        let names: Vec<_> =
            sums.write(dir.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [LOSSES, ANSWERS]);
        assert_eq!(Sums::read(dir.path(), 2, true).unwrap(), sums);
        assert_eq!(Sums::read(dir.path(), 2, false).unwrap().answers, None);
        let error = Sums::read(dir.path(), 3, true).unwrap_err().to_string();
        assert!(error.ends_with("answers.parquet`: expected the sums of 3 models"), "{error}");
    }
}
