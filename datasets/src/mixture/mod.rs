//! Many sources in one order, by weights in tokens.
//!
//! Every sequence predicts the same number of tokens, so weights in tokens are weights in sequences. [`Mixture::at`]
//! says for any sequence which source it is of, and which of the source's: a function of the settings alone.
//!
//! The mixture is a row of *stages*, each with weights of its own. One begins where the schedule says, and one where a
//! source of a limited number of sequences has given its last: from there the others go on in proportion to their
//! weights. A stage whose sources have all ended is over; when that was the last, so is the mixture. Inside a stage the
//! sources follow each other by a periodic pattern in which, at every `t`, none has had a sequence more or less than
//! its share of `t`. Stages are found when the mixture is made, by arithmetic, not by counting.

mod error;
mod pattern;
mod stages;
#[cfg(test)]
mod tests;
mod weights;

pub use error::{At, MixtureError};
pub use stages::Stage;
pub use weights::MAX_PERIOD;

/// A source of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Its name, of which there is one.
    pub name: String,
    /// Its weight from the beginning: in proportion to the others', not a part of 1.
    pub weight: f64,
    /// How many sequences it gives before it ends; without end if `None`.
    pub sequences: Option<u64>,
}

/// New weights from a sequence on.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The first sequence of the mixture that they hold for.
    pub from: u64,
    /// The sources whose weight changes, by name. The others keep theirs.
    pub weights: Vec<(String, f64)>,
}

/// Which source a sequence is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The source, in the order they were given in.
    pub source: u16,
    /// Which of the source's sequences, counted on over its epochs.
    pub index: u64,
}

/// The order of all sources' sequences.
///
/// # Examples
/// ```
/// use datasets::mixture::{Mixture, Share};
///
/// let share = |name: &str, weight| Share { name: name.into(), weight, sequences: None };
/// let mixture = Mixture::new(&[share("web", 0.6), share("code", 0.4)], &[])?;
/// let sources: Vec<u16> = (0..5).filter_map(|t| Some(mixture.at(t)?.source)).collect();
/// assert_eq!(sources, [0, 1, 0, 1, 0]);
/// # Ok::<(), datasets::mixture::MixtureError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mixture {
    stages: Vec<Stage>,
    end: Option<u64>,
    num_sources: u16,
}

impl Mixture {
    /// Mixes sources, with changes of their weights later on.
    ///
    /// # Errors
    /// [`MixtureError`], for every setting that cannot be meant.
    #[expect(clippy::missing_panics_doc, reason = "the number of sources is checked")]
    pub fn new(shares: &[Share], schedule: &[Change]) -> Result<Self, MixtureError> {
        let (stages, end) = stages::plan(shares, schedule)?;
        let num_sources = u16::try_from(shares.len()).expect("`plan` counts them");
        Ok(Self { stages, end, num_sources })
    }

    /// Whether the weights can be meant, whatever the sources have.
    ///
    /// # Errors
    /// As [`Mixture::new`].
    pub fn check(shares: &[Share], schedule: &[Change]) -> Result<(), MixtureError> {
        stages::weights(shares, schedule).map(drop)
    }

    /// Where sequence `t` comes from; `None` after the end.
    pub fn at(&self, t: u64) -> Option<Place> {
        let stage = self.stage(t)?;
        let (source, drawn) = stage.pattern.at(t - stage.from);
        Some(Place { source, index: stage.before[usize::from(source)] + drawn })
    }

    /// How many sequences there are; `None` if they do not end.
    pub fn num_sequences(&self) -> Option<u64> {
        self.end
    }

    /// The stages, first to last.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// How many of the first `t` sequences are of each source.
    pub fn counts(&self, t: u64) -> Vec<u64> {
        let t = self.end.map_or(t, |end| t.min(end));
        let at = self.stages.partition_point(|stage| stage.from <= t).saturating_sub(1);
        let stage = &self.stages[at];
        let count = |i: u16| stage.before[usize::from(i)] + stage.pattern.count(i, t - stage.from);
        (0..self.num_sources).map(count).collect()
    }

    /// The memory that it holds.
    pub fn bytes(&self) -> u64 {
        self.stages.iter().map(|stage| stage.pattern.bytes() + stage.before.len() as u64 * 8).sum()
    }

    fn stage(&self, t: u64) -> Option<&Stage> {
        if self.end.is_some_and(|end| t >= end) {
            return None;
        }
        let after = self.stages.partition_point(|stage| stage.from <= t);
        self.stages.get(after.checked_sub(1)?)
    }
}
