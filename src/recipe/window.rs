//! From one value to another, either of which may be open: `"2.1B..2.2B"`, `"..5GB"`, `"1B.."`.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// What a value must lie in, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<T> {
    /// No less; open, if absent.
    pub min: Option<T>,
    /// No more; open, if absent.
    pub max: Option<T>,
}

impl<T: PartialOrd> Window<T> {
    /// Whether a value lies in it.
    pub fn contains(&self, value: &T) -> bool {
        self.min.as_ref().is_none_or(|min| value >= min)
            && self.max.as_ref().is_none_or(|max| value <= max)
    }
}

/// What is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a window; write it like \"{least}..{most}\", \"..{most}\" or \"{least}..\": {reason}"
)]
pub struct NotAWindow {
    /// What was written.
    pub text: String,
    /// An example's lower end.
    pub least: &'static str,
    /// And its upper one.
    pub most: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// What windows are of, with an example of each end.
pub trait Bound: FromStr<Err: Display> + PartialOrd + Display {
    /// Of an error's text.
    const EXAMPLE: [&'static str; 2];
}

impl Bound for super::TokenCount {
    const EXAMPLE: [&'static str; 2] = ["2.1B", "2.2B"];
}

impl Bound for super::ByteCount {
    const EXAMPLE: [&'static str; 2] = ["4GB", "5GB"];
}

impl Bound for f64 {
    const EXAMPLE: [&'static str; 2] = ["10", "40"];
}

impl<T: Bound> FromStr for Window<T> {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        let [least, most] = T::EXAMPLE;
        let wrong = |reason: String| NotAWindow { text: text.to_owned(), least, most, reason };
        let (min, max) = text.split_once("..").ok_or_else(|| wrong("it has no `..`".into()))?;
        let end = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse::<T>().map(Some).map_err(|error| wrong(error.to_string())),
        };
        let window = Self { min: end(min)?, max: end(max)? };
        match (&window.min, &window.max) {
            (None, None) => Err(wrong("one end at least is a value".into())),
            (Some(min), Some(max))
                if min.partial_cmp(max) != Some(std::cmp::Ordering::Less) && min != max =>
            {
                Err(wrong("the first is more than the second".into()))
            }
            _ => Ok(window),
        }
    }
}

impl<T: Display> Display for Window<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(min) = &self.min {
            write!(f, "{min}")?;
        }
        f.write_str("..")?;
        if let Some(max) = &self.max {
            write!(f, "{max}")?;
        }
        Ok(())
    }
}

impl<T: Display> Serialize for Window<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Bound> Deserialize<'de> for Window<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ByteCount, TokenCount};
    use super::*;

    #[test]
    fn either_end_may_be_open_and_both_are_inside() {
        let window: Window<TokenCount> = "2.1M..2.2M".parse().unwrap();
        let inside = |n| window.contains(&TokenCount::new(n));
        assert_eq!(
            [2_099_999, 2_100_000, 2_200_000, 2_200_001].map(inside),
            [false, true, true, false]
        );
        let most: Window<ByteCount> = "..5GB".parse().unwrap();
        assert!(
            most.contains(&ByteCount::new(0)) && !most.contains(&ByteCount::new(5_000_000_001))
        );
        let least: Window<f64> = "1.5..".parse().unwrap();
        assert!(least.contains(&1.5) && !least.contains(&1.4) && !least.contains(&f64::NAN));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["2100K..2200K", "..5B", "7..", "7..7"] {
            assert_eq!(text.parse::<Window<TokenCount>>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_window_is_refused_with_an_example() {
        for (text, reason) in [
            ("5GB", "it has no `..`"),
            ("..", "one end at least is a value"),
            ("5GB..4GB", "the first is more than the second"),
            ("4..5 gigs", "`5 gigs` is not a number of bytes; write it like `5GB` or `512MiB`"),
        ] {
            let said = text.parse::<Window<ByteCount>>().unwrap_err().to_string();
            assert!(said.ends_with(reason) && said.contains("\"4GB..5GB\""), "{said}");
        }
    }
}
