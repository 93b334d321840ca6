//! A size of the student: a number, or a share of the teacher's.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// `3072`, or `"75%"` of what the teacher has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// The size itself, taken as it is.
    Exact(usize),
    /// A percentage of the teacher's size, above 0 and at most 100.
    Percent(f64),
}

/// What is not a percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a size; write a positive number like 3072, or a share above 0% and up to 100% like \"75%\""
)]
pub struct NotASize {
    /// What was written.
    pub text: String,
}

impl Size {
    /// The size for a teacher's `whole`: a share is rounded to the nearest multiple of `multiple_of`, to
    /// one multiple at least and to no more than the teacher has.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, between 0 and `whole`"
    )]
    pub fn of(self, whole: usize, multiple_of: usize) -> usize {
        match self {
            Self::Exact(size) => size,
            Self::Percent(percent) => {
                let multiple_of = multiple_of.max(1);
                let multiples =
                    (whole as f64 * percent / 100.0 / multiple_of as f64).round() as usize;
                (multiples.max(1) * multiple_of).min(whole)
            }
        }
    }
}

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotASize { text: text.into() };
        match text.strip_suffix('%') {
            Some(number) => {
                let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                let percent: f64 = if plain {
                    number.parse().map_err(|_| wrong())?
                } else {
                    return Err(wrong());
                };
                if percent > 0.0 && percent <= 100.0 {
                    Ok(Self::Percent(percent))
                } else {
                    Err(wrong())
                }
            }
            None => text.parse().ok().filter(|n| *n > 0).map(Self::Exact).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(size) => write!(f, "{size}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exact(size) => serializer.serialize_u64(*size as u64),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like 3072, or a share of the teacher's like \"75%\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, size: i64) -> Result<Size, E> {
                match usize::try_from(size) {
                    Ok(size) if size > 0 => Ok(Size::Exact(size)),
                    _ => Err(E::custom(NotASize { text: size.to_string() })),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_to_the_nearest_multiple() {
        assert_eq!(Size::Percent(75.0).of(4096, 8), 3072);
        assert_eq!(Size::Percent(62.5).of(172, 8), 104, "107.5 lies nearer to 104 than to 112");
        assert_eq!(Size::Percent(66.0).of(172, 8), 112, "113.52 lies nearer to 112 than to 120");
    }

    #[test]
    fn a_share_is_one_multiple_at_least_and_never_more_than_the_teacher_has() {
        assert_eq!(Size::Percent(0.1).of(64, 8), 8);
        assert_eq!(Size::Percent(100.0).of(100, 8), 100, "13 multiples of 8 would be 104");
        assert_eq!(Size::Percent(50.0).of(4, 8), 4);
    }

    #[test]
    fn a_number_is_taken_as_it_is() {
        assert_eq!(Size::Exact(77).of(64, 8), 77);
    }

    #[test]
    fn shares_outside_of_nought_to_a_hundred_are_refused() {
        for text in
            ["0%", "100.1%", "-5%", "%", "abc%", "nan%", "inf%", "1e1%", "75 %", "0", "-3", "75"]
        {
            assert_eq!(text.parse::<Size>().is_err(), text != "75", "{text}");
        }
    }
}
