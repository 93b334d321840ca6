//! What a cache would give back of a sample, without a cache: a teacher that is asked says the same as one that was.

use std::path::PathBuf;

use super::stored::Row;
use super::{Identity, LogitError, Profile, Scored};

impl Identity {
    /// A sample as a cache of this identity gives it back that keeps it by `profile`, of each position the `k` most
    /// probable entries: see [`Cache::read`](super::Cache::read).
    ///
    /// # Errors
    /// [`LogitError::Sample`] if it cannot be stored.
    pub fn as_stored(
        &self,
        scored: &Scored,
        profile: &Profile,
        k: Option<u32>,
    ) -> Result<Scored, LogitError> {
        let sample = || LogitError::sample(scored.id);
        scored.check(self.demands(), &mut Vec::new()).map_err(sample())?;
        let row = Row::encode(scored, profile, self.vocab_size).map_err(sample())?;
        let decoded = row.by_ref().decode(self.values, &self.values.table(), k);
        decoded.map_err(|source| LogitError::Row {
            path: PathBuf::from("(in memory)"),
            row_group: 0,
            row: 0,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::{Cache, CacheWriter, Profile};

    #[test]
    fn a_sample_that_was_never_stored_is_as_one_that_was() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::top(8);
        let identity = fixture::identity(500, &profile);
        let samples = fixture::samples(&identity, &profile, 3);
        let mut writer = CacheWriter::open(dir.path(), &identity, profile).unwrap();
        for sample in &samples {
            writer.push(sample).unwrap();
        }
        writer.commit().unwrap();
        let cache = Cache::open(dir.path(), Some(&identity)).unwrap();
        for sample in &samples {
            for k in [None, Some(3)] {
                let stored = cache.read(&[sample.id], k).unwrap().remove(0);
                assert_eq!(identity.as_stored(sample, &profile, k).unwrap(), stored);
            }
        }
    }
}
