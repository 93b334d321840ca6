//! Counts of tokens as people write them: `12K`, `131M`, `1.5B`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The suffixes, largest first; powers of a thousand.
const SUFFIXES: [(char, u64); 4] =
    [('T', 1_000_000_000_000), ('B', 1_000_000_000), ('M', 1_000_000), ('K', 1_000)];

/// A number of tokens; in a recipe a string such as `"94B"`, or a plain integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenCount(u64);

impl TokenCount {
    /// So many tokens.
    #[must_use]
    pub fn new(tokens: u64) -> Self {
        Self(tokens)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What is not a count of tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a token count; write it like `12K`, `131M` or `94B`")]
pub struct NotATokenCount {
    /// What was written.
    pub text: String,
}

impl FromStr for TokenCount {
    type Err = NotATokenCount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotATokenCount { text: text.into() };
        let unit = SUFFIXES.iter().find_map(|(suffix, n)| Some((text.strip_suffix(*suffix)?, *n)));
        let (digits, unit) = unit.unwrap_or((text, 1));
        let tokens = super::decimal::scaled(digits, unit).ok_or_else(wrong)?;
        // TOML's integers end there.
        if i64::try_from(tokens).is_ok() { Ok(Self(tokens)) } else { Err(wrong()) }
    }
}

impl fmt::Display for TokenCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for TokenCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl Visitor<'_> for Count {
            type Value = TokenCount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token count like \"131M\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TokenCount, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, tokens: i64) -> Result<TokenCount, E> {
                u64::try_from(tokens)
                    .map(TokenCount)
                    .map_err(|_| E::custom(NotATokenCount { text: tokens.to_string() }))
            }
        }
        deserializer.deserialize_any(Count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_a_thousand_and_fractions_must_come_out_whole() {
        for (text, tokens) in [
            ("12K", 12_000),
            ("131M", 131_000_000),
            ("94B", 94_000_000_000),
            ("15T", 15_000_000_000_000),
            ("1.5B", 1_500_000_000),
            ("0.25K", 250),
            ("4096", 4096),
            ("1_000K", 1_000_000),
        ] {
            assert_eq!(text.parse(), Ok(TokenCount(tokens)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_count_is_refused() {
        for text in [
            "94e9",
            "",
            "B",
            "-1K",
            "1.0005K",
            "12k",
            "1,000",
            "12 K",
            "1.2.3M",
            "K12",
            "9KK",
            "99999999999999999999T",
            "9223372036854775808",
            "+5",
            "1.",
            ".5K",
            "١K",
        ] {
            assert!(text.parse::<TokenCount>().is_err(), "{text}");
        }
        assert_eq!(
            "94e9".parse::<TokenCount>().unwrap_err().to_string(),
            "`94e9` is not a token count; write it like `12K`, `131M` or `94B`"
        );
    }

    #[test]
    fn what_is_shown_parses_back_the_same() {
        for tokens in [0, 1, 999, 1000, 1001, 12_000, 1_500_000_000, 94_000_000_000, u64::MAX >> 1]
        {
            assert_eq!(TokenCount(tokens).to_string().parse(), Ok(TokenCount(tokens)));
        }
        assert_eq!(TokenCount(94_000_000_000).to_string(), "94B");
        assert_eq!(TokenCount(1_500_000).to_string(), "1500K");
    }
}
