//! Differences, so that a person can read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

/// Something that two identities do not have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of what: `teacher.config.rope_theta`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// Collects differences.
#[derive(Default)]
pub(super) struct Differences(pub(super) Vec<Difference>);

impl Differences {
    pub(super) fn push(
        &mut self,
        what: &str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) {
        let (expected, found) = (expected.to_string(), found.to_string());
        self.0.push(Difference { what: what.to_owned(), expected, found });
    }

    pub(super) fn compare<T: PartialEq + fmt::Debug>(
        &mut self,
        what: &str,
        expected: &T,
        found: &T,
    ) {
        if expected != found {
            self.push(what, format!("{expected:?}"), format!("{found:?}"));
        }
    }
}

/// How many differences of one kind are named; the others are counted.
pub(super) const NAMED: usize = 3;

/// Texts by the first line in which they differ.
pub(super) fn compare_texts(what: &str, expected: &str, found: &str, all: &mut Differences) {
    if expected == found {
        return;
    }
    let mut lines = (expected.lines(), found.lines());
    for number in 1.. {
        let (a, b) = (lines.0.next(), lines.1.next());
        if a != b || a.is_none() {
            let shown = |line: Option<&str>| match line {
                Some(line) => format!("`{}`", line.chars().take(80).collect::<String>()),
                None => "its end".to_owned(),
            };
            return all.push(&format!("{what}, line {number}"), shown(a), shown(b));
        }
    }
}

/// Maps by the entries that they do not have in common.
pub(super) fn compare_maps<V: PartialEq + fmt::Display>(
    what: &str,
    expected: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
    all: &mut Differences,
) {
    let shown = |value: Option<&V>| value.map_or("nothing".to_owned(), ToString::to_string);
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(*key) != found.get(*key));
    let differ: Vec<_> = differ.collect();
    for key in differ.iter().take(NAMED) {
        let place = format!("{what}.{key}");
        all.push(&place, shown(expected.get(*key)), shown(found.get(*key)));
    }
    if differ.len() > NAMED {
        let more = differ.len() - NAMED;
        all.push(what, "the same", format_args!("{more} more that differ"));
    }
}
