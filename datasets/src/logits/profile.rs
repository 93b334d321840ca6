//! How much of a distribution is kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ValueCode;

/// Which entries of a token are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The `k` most probable, or the whole vocabulary where it is smaller.
    Top {
        /// How many.
        k: u32,
    },
    /// As many of the most probable as hold a mass of `p`, and no more than `k`.
    Mass {
        /// The mass.
        p: f64,
        /// The most.
        k: u32,
    },
    /// About so many, by threshold sampling: see [`sampling`](super::sampling).
    Sampled {
        /// How many are expected.
        entries: u32,
    },
}

/// What is kept, and by which code.
///
/// | name | entries | code |
/// |---|---|---|
/// | `k16`, `k32` (the default), `k64`, any `k<n>` | the n most probable | `sqrt8` |
/// | `exact`, `exact<n>` | the 64, or n, most probable | `fixed16` |
/// | `top-p` | a mass of 0.98, at most 64 | `sqrt8` |
/// | `unbiased` | about 14, sampled: every probability is right in expectation | `sqrt8` |
///
/// The mass of all others is kept as well, exactly: it is a cell of its own, and nothing is renormalised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Which entries.
    pub keep: Keep,
    /// By which code.
    pub values: ValueCode,
}

impl Default for Profile {
    fn default() -> Self {
        Self::top(32)
    }
}

impl Profile {
    /// The `k` most probable.
    pub fn top(k: u32) -> Self {
        Self { keep: Keep::Top { k }, values: ValueCode::Sqrt8 }
    }

    /// The `k` most probable, their values as good as floats.
    pub fn exact(k: u32) -> Self {
        Self { keep: Keep::Top { k }, values: ValueCode::Fixed16 }
    }

    /// The most entries that a token can have; of those that are sampled, what is expected.
    pub fn most(&self) -> u32 {
        match self.keep {
            Keep::Top { k } | Keep::Mass { k, .. } => k,
            Keep::Sampled { entries } => entries,
        }
    }

    /// Whether entries are sampled.
    pub fn is_sampled(&self) -> bool {
        matches!(self.keep, Keep::Sampled { .. })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.keep, self.values) {
            (Keep::Top { k: 64 }, ValueCode::Fixed16) => f.write_str("exact"),
            (Keep::Top { k }, ValueCode::Fixed16) => write!(f, "exact{k}"),
            (Keep::Top { k }, ValueCode::Sqrt8) => write!(f, "k{k}"),
            (Keep::Mass { p, k }, _) => write!(f, "top-p {p}, at most {k}"),
            (Keep::Sampled { entries }, _) => write!(f, "unbiased, about {entries}"),
        }
    }
}

/// A name that is no profile's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no profile: expected k16, k32, k64 or another k<n>, exact, top-p or unbiased")]
pub struct UnknownProfile {
    /// The name.
    pub name: String,
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let number = |text: &str| text.parse().ok().filter(|k: &u32| *k > 0);
        let sqrt8 = |keep| Self { keep, values: ValueCode::Sqrt8 };
        let found = match name {
            "exact" => Some(Self::exact(64)),
            "top-p" => Some(sqrt8(Keep::Mass { p: 0.98, k: 64 })),
            "unbiased" => Some(sqrt8(Keep::Sampled { entries: 14 })),
            _ => match (name.strip_prefix("exact"), name.strip_prefix('k')) {
                (Some(k), _) => number(k).map(Self::exact),
                (_, Some(k)) => number(k).map(Self::top),
                _ => None,
            },
        };
        found.ok_or_else(|| UnknownProfile { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_names_and_what_is_none_is_refused_with_those_that_are() {
        for name in ["k16", "k32", "k64", "k7", "exact", "exact128"] {
            assert_eq!(name.parse::<Profile>().unwrap().to_string(), name);
        }
        assert_eq!(Profile::default(), "k32".parse().unwrap());
        assert!("unbiased".parse::<Profile>().unwrap().is_sampled());
        assert_eq!("top-p".parse::<Profile>().unwrap().most(), 64);
        for name in ["", "k", "k0", "k-1", "exact0", "K32", "topp"] {
            assert!(name.parse::<Profile>().unwrap_err().to_string().contains("unbiased"));
        }
    }
}
