//! Which content a file had when it was opened.

use std::fmt;

use object_store::ObjectMeta;

/// The version of a file: what must be the same for two answers to be of one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) bytes: u64,
    /// As a header has it, in quotes; some listings leave them out.
    pub(crate) etag: Option<String>,
    /// Seconds since 1970; 0 if the server does not tell.
    pub(crate) modified: i64,
}

impl Version {
    pub(crate) fn of(object: &ObjectMeta) -> Self {
        let etag = object.e_tag.as_ref().filter(|etag| !etag.is_empty()).map(|etag| quoted(etag));
        Self { bytes: object.size, etag, modified: object.last_modified.timestamp() }
    }

    /// Whether a change of the content would show.
    pub(crate) fn is_known(&self) -> bool {
        self.etag.is_some() || self.modified != 0
    }

    /// The tag for `If-Match`, which a weak tag never matches.
    pub(crate) fn strong_etag(&self) -> Option<String> {
        self.etag.clone().filter(|etag| !etag.starts_with("W/"))
    }

    /// Whether both are of one content, as far as both tell.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let bare = |etag: &str| etag.trim_start_matches("W/").to_owned();
        self.bytes == other.bytes
            && match (&self.etag, &other.etag) {
                (Some(one), Some(two)) => bare(one) == bare(two),
                _ => self.modified == 0 || other.modified == 0 || self.modified == other.modified,
            }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.etag {
            Some(etag) => write!(f, "etag {etag} of {} bytes", self.bytes),
            None => write!(f, "{} bytes of time {}", self.bytes, self.modified),
        }
    }
}

fn quoted(etag: &str) -> String {
    if etag.ends_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: Option<&str>, modified: i64, bytes: u64) -> Version {
        Version { bytes, etag: etag.map(quoted), modified }
    }

    #[test]
    fn a_version_is_the_same_whatever_its_quotes_and_not_when_anything_known_differs() {
        let one = version(Some("a"), 1, 9);
        assert!(one.is_same_as(&version(Some("\"a\""), 2, 9)));
        assert!(one.is_same_as(&version(Some("W/\"a\""), 2, 9)));
        assert!(!one.is_same_as(&version(Some("b"), 1, 9)));
        assert!(!one.is_same_as(&version(Some("a"), 1, 8)));
        assert!(!one.is_same_as(&version(None, 2, 9)));
        assert!(one.is_same_as(&version(None, 0, 9)));
        assert_eq!(one.strong_etag().as_deref(), Some("\"a\""));
        assert_eq!(version(Some("W/\"a\""), 0, 1).strong_etag(), None);
        assert!(!version(None, 0, 9).is_known());
    }
}
