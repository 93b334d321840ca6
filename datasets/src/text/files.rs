//! Which files a corpus is made of.

use std::fs;
use std::path::{Path, PathBuf};

use super::codec::Codec;
use super::{Format, TextError};

/// How a file is read, `Auto` resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Txt,
    Jsonl,
    Parquet,
}

/// A file of the corpus.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Its path from the folder (or the glob's fixed part), with `/`: the same wherever the folder lies.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// How it is compressed, if it is.
    pub(super) codec: Option<Codec>,
    pub(super) bytes: u64,
}

/// The files of a file, folder or glob, sorted by name.
pub(super) fn find(pattern: &str, format: Format) -> Result<Vec<Found>, TextError> {
    let path = Path::new(pattern);
    let mut paths = Vec::new();
    let base = if path.is_dir() {
        walk(path, format, &mut paths)?;
        path.to_owned()
    } else if path.exists() {
        paths.push(path.to_owned());
        path.parent().unwrap_or(Path::new("")).to_owned()
    } else if pattern.contains(['*', '?', '[']) {
        let bad = |source| TextError::BadPattern { pattern: pattern.to_owned(), source };
        for found in glob::glob(pattern).map_err(bad)? {
            let found = found.map_err(|e| {
                let path = e.path().to_owned();
                TextError::Io { path, operation: "list", source: e.into() }
            })?;
            if found.is_file() {
                paths.push(found);
            }
        }
        fixed_part(pattern)
    } else {
        PathBuf::new()
    };
    let mut files = paths
        .into_iter()
        .map(|path| describe(path, &base, format))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        let expected = if path.is_dir() {
            extensions(format).to_owned()
        } else {
            "a file, a folder or a glob".to_owned()
        };
        return Err(TextError::NoFiles { pattern: pattern.to_owned(), expected });
    }
    Ok(files)
}

fn describe(path: PathBuf, base: &Path, format: Format) -> Result<Found, TextError> {
    let (known, codec) = kind(&path, format);
    let (kind, codec) = match format {
        Format::Txt => (Kind::Txt, codec),
        Format::Jsonl => (Kind::Jsonl, codec),
        Format::Parquet => (Kind::Parquet, None),
        Format::Auto => match known {
            Some(kind) => (kind, codec),
            None => return Err(TextError::UnknownFormat { path }),
        },
    };
    let bytes = fs::metadata(&path).map_err(TextError::io(&path, "read"))?.len();
    let parts = path.strip_prefix(base).unwrap_or(&path).components();
    let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
    let name = parts.join("/");
    Ok(Found { path, name, kind, codec, bytes })
}

/// Files with a known extension, at any depth. Hidden files and those that start with `_` (as `_SUCCESS`) are not
/// data; directories behind links are not followed, so that no cycle is.
fn walk(dir: &Path, format: Format, paths: &mut Vec<PathBuf>) -> Result<(), TextError> {
    for entry in fs::read_dir(dir).map_err(TextError::io(dir, "list"))? {
        let entry = entry.map_err(TextError::io(dir, "list"))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        if entry.file_type().map_err(TextError::io(&path, "read"))?.is_dir() {
            walk(&path, format, paths)?;
        } else if kind(&path, format).0.is_some() && path.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

/// What a file is by its name, if the format allows it, and how it is compressed.
fn kind(path: &Path, format: Format) -> (Option<Kind>, Option<Codec>) {
    let (codec, inner) = match extension(path).as_str() {
        "gz" => (Some(Codec::Gzip), path.with_extension("")),
        "zst" => (Some(Codec::Zstd), path.with_extension("")),
        _ => (None, path.to_owned()),
    };
    let kind = match extension(&inner).as_str() {
        "txt" | "md" => Some(Kind::Txt),
        "jsonl" => Some(Kind::Jsonl),
        // C4 and others call lines of JSON so; without compression the name is that of settings.
        "json" if codec.is_some() => Some(Kind::Jsonl),
        "parquet" if codec.is_none() => Some(Kind::Parquet),
        _ => None,
    };
    let allowed = match format {
        Format::Auto => kind,
        Format::Txt => kind.filter(|kind| *kind == Kind::Txt),
        Format::Jsonl => kind.filter(|kind| *kind == Kind::Jsonl),
        Format::Parquet => kind.filter(|kind| *kind == Kind::Parquet),
    };
    (allowed, codec)
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// The names that are looked for.
fn extensions(format: Format) -> &'static str {
    match format {
        Format::Auto => "txt, md, jsonl (these also with .gz or .zst), json.gz, json.zst, parquet",
        Format::Txt => "txt, md, also with .gz or .zst",
        Format::Jsonl => "jsonl, also with .gz or .zst, json.gz, json.zst",
        Format::Parquet => "parquet",
    }
}

/// The directories of a glob before its first wildcard.
fn fixed_part(pattern: &str) -> PathBuf {
    let fixed = &pattern[..pattern.find(['*', '?', '[']).unwrap_or(pattern.len())];
    PathBuf::from(&fixed[..fixed.rfind('/').map_or(0, |slash| slash + 1)])
}
