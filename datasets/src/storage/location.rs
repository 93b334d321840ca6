//! Where files lie: a folder here, or a prefix of a bucket.

use std::fmt;
use std::path::{Path, PathBuf};

use object_store::path::Path as Key;
use url::Url;

use super::StorageError;

/// Which kind of store holds the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Amazon S3 and whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
    /// Plain HTTP or HTTPS; it cannot list.
    Http,
}

/// A folder or a file on this machine, or a prefix or an object on a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A path on this machine.
    Local(PathBuf),
    /// A place on a store.
    Remote {
        /// Which kind of store.
        scheme: Scheme,
        /// The whole URL, without a trailing slash.
        url: String,
        /// What a store is opened by: scheme, host and port, without the path.
        root: String,
        /// The path in the store, without slashes at its ends; empty for all of it.
        prefix: String,
        /// Whether the URL ended in a slash, so that it cannot be a file.
        folder: bool,
    },
}

impl Location {
    /// Reads `s3://bucket/prefix`, `gs://..`, `az://container/..`, `http(s)://..`; `file://..` and anything without `://` is a local path.
    ///
    /// # Errors
    /// [`StorageError::BadLocation`] for another scheme, a URL without a host, with a query, a fragment or a password, or with `..` in its path.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let bad = |found: &str| StorageError::BadLocation {
            location: without_secret(text),
            found: found.to_owned(),
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() {
                Err(bad("nothing"))
            } else {
                Ok(Self::Local(PathBuf::from(text)))
            };
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "file" if rest.starts_with('/') => return Ok(Self::Local(PathBuf::from(rest))),
            "s3" | "s3a" => Scheme::S3,
            "gs" => Scheme::Gs,
            "az" | "azure" | "abfs" | "abfss" => Scheme::Az,
            "http" | "https" => Scheme::Http,
            other => return Err(bad(&format!("the scheme `{other}`"))),
        };
        // `abfss://container@account.host/..` has a user name that is no secret.
        let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("no host or bucket"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("a query or a fragment"));
        }
        if url.password().is_some() || (scheme == Scheme::Http && !url.username().is_empty()) {
            return Err(bad("a user name or a password in the URL"));
        }
        if rest.split('/').any(|part| part == "..") {
            return Err(bad("`..` in the path"));
        }
        let prefix = Key::from_url_path(url.path()).map_err(|error| bad(&error.to_string()))?;
        let root = &url[..url::Position::BeforePath];
        let folder = prefix.is_root() || text.ends_with('/');
        let url = text.trim_end_matches('/').to_owned();
        Ok(Self::Remote { scheme, url, root: root.to_owned(), prefix: prefix.to_string(), folder })
    }

    /// The path, for a place on this machine.
    #[must_use]
    pub fn local(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::Remote { .. } => None,
        }
    }

    /// How a file below this place is called; `""` is the place itself.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        if name.is_empty() {
            self.to_string()
        } else {
            format!("{}/{name}", self.to_string().trim_end_matches('/'))
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Remote { url, .. } => f.write_str(url),
        }
    }
}

/// The text for an error, which goes into logs: no password, no signature.
fn without_secret(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if text.contains("://") => {
            if url.password().is_some() {
                // Neither can fail for a URL that has a password, and so a host.
                let _ = url.set_password(Some("***"));
            }
            if url.query().is_some() {
                url.set_query(Some("***"));
            }
            url.to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> (Scheme, String, String, bool) {
        match Location::parse(text).unwrap() {
            Location::Remote { scheme, root, prefix, folder, .. } => (scheme, root, prefix, folder),
            Location::Local(path) => panic!("{} is local", path.display()),
        }
    }

    #[test]
    fn urls_are_taken_apart_and_the_rest_are_paths() {
        let of = |scheme, root: &str, prefix: &str, folder| {
            (scheme, root.to_owned(), prefix.to_owned(), folder)
        };
        assert_eq!(remote("s3://bucket/a/b"), of(Scheme::S3, "s3://bucket", "a/b", false));
        assert_eq!(remote("s3://bucket"), of(Scheme::S3, "s3://bucket", "", true));
        assert_eq!(remote("gs://b/x/"), of(Scheme::Gs, "gs://b", "x", true));
        assert_eq!(remote("az://c/x%20y"), of(Scheme::Az, "az://c", "x y", false));
        assert_eq!(
            remote("http://h:81/d/f.parquet"),
            of(Scheme::Http, "http://h:81", "d/f.parquet", false)
        );
        for path in ["data/shards", "/data", "C:/x", "."] {
            assert_eq!(Location::parse(path).unwrap(), Location::Local(path.into()));
        }
        assert_eq!(Location::parse("file:///d/x").unwrap(), Location::Local("/d/x".into()));
        assert_eq!(Location::parse("s3://b/p/").unwrap().of("a/b.parquet"), "s3://b/p/a/b.parquet");
        assert_eq!(Location::parse("/d").unwrap().of(""), "/d");
    }

    #[test]
    fn what_is_no_location_is_refused_and_secrets_are_not_repeated() {
        for text in [
            "",
            "ftp://h/x",
            "s3:///x",
            "https://h/x?sig=secret",
            "https://u:secret@h/x",
            "s3://b/../c",
            "s3://b/x#secret1",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(matches!(error, StorageError::BadLocation { .. }), "{text}: {error}");
            assert!(
                !error.to_string().contains("secret@") && !error.to_string().contains("sig=secret"),
                "{error}"
            );
        }
    }
}
