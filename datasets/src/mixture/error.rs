//! What can be wrong with a mixture.

/// An error of a mixture's settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MixtureError {
    /// Nothing to mix.
    #[error("a mixture needs at least one source")]
    NoSource,
    /// More sources than a pattern can name.
    #[error("a mixture can have 65535 sources, not {found}")]
    TooManySources {
        /// How many there are.
        found: usize,
    },
    /// Two sources of one name.
    #[error("two sources of the mixture have the name {name:?}")]
    SameName {
        /// The name.
        name: String,
    },
    /// A weight that is no weight.
    #[error("the weight of source {name:?} {at} is {weight}, expected a number of at least 0")]
    BadWeight {
        /// The source.
        name: String,
        /// From where on.
        at: At,
        /// Its weight.
        weight: f64,
    },
    /// Nothing to draw from.
    #[error("the weights of all sources {at} are 0")]
    AllZero {
        /// From where on.
        at: At,
    },
    /// A source that is never drawn from.
    #[error(
        "the weight of source {name:?} is 0 from the beginning to the end: give it a weight or leave it out"
    )]
    NeverUsed {
        /// The source.
        name: String,
    },
    /// A source that has nothing to give.
    #[error("source {name:?} has no sequence")]
    NoSequence {
        /// The source.
        name: String,
    },
    /// A stage that does not come after the one before.
    #[error("the schedule's stage {stage} begins at sequence {from}, expected one after {before}")]
    NotIncreasing {
        /// Which of the schedule, from 0.
        stage: usize,
        /// Where it begins.
        from: u64,
        /// Where the one before begins.
        before: u64,
    },
    /// A weight for nobody.
    #[error("the schedule's stage {stage} weighs source {name:?}, which is not one of {known:?}")]
    UnknownSource {
        /// Which of the schedule, from 0.
        stage: usize,
        /// The name.
        name: String,
        /// The sources there are.
        known: Vec<String>,
    },
}

/// From where on weights hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// From the beginning.
    Beginning,
    /// From a stage of the schedule, counted from 0.
    Stage(usize),
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            At::Beginning => f.write_str("at the beginning"),
            At::Stage(stage) => write!(f, "in the schedule's stage {stage}"),
        }
    }
}
