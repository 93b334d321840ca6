//! Counts of bytes as people write them: `5GB`, `512MiB`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The units, those tried first being the ones shown first: Hugging Face's `GB` is 10⁹.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

/// A number of bytes; in a recipe a string such as `"5GB"`, or a plain integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(u64);

impl ByteCount {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What is not a count of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a number of bytes; write it like `5GB` or `512MiB`")]
pub struct NotAByteCount {
    /// What was written.
    pub text: String,
}

impl FromStr for ByteCount {
    type Err = NotAByteCount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAByteCount { text: text.into() };
        let unit = UNITS.iter().find_map(|(name, n)| Some((text.strip_suffix(name)?, *n)));
        let (digits, unit) = unit.unwrap_or((text, 1));
        let bytes = super::decimal::scaled(digits, unit).ok_or_else(wrong)?;
        if i64::try_from(bytes).is_ok() { Ok(Self(bytes)) } else { Err(wrong()) }
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl Visitor<'_> for Count {
            type Value = ByteCount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes like \"5GB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteCount, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteCount, E> {
                u64::try_from(bytes)
                    .map(ByteCount)
                    .map_err(|_| E::custom(NotAByteCount { text: bytes.to_string() }))
            }
        }
        deserializer.deserialize_any(Count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_binary_units_are_told_apart() {
        assert_eq!("5GB".parse(), Ok(ByteCount(5_000_000_000)));
        assert_eq!("5GiB".parse(), Ok(ByteCount(5 << 30)));
        assert_eq!("1.5KiB".parse(), Ok(ByteCount(1536)));
        assert_eq!("4096".parse(), Ok(ByteCount(4096)));
    }

    #[test]
    fn what_is_not_a_number_of_bytes_is_refused() {
        for text in ["5 GB", "5G", "GB", "5gb", "-1KB", "0.0001KB", "", "9999999999TiB"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_parses_back_the_same() {
        for bytes in [0, 1, 1000, 1024, 1536, 5_000_000_000, 5 << 30, u64::MAX >> 1] {
            assert_eq!(ByteCount(bytes).to_string().parse(), Ok(ByteCount(bytes)));
        }
        assert_eq!(ByteCount(5_000_000_000).to_string(), "5GB");
    }
}
