//! Small JSON files that carry their own digest: manifests.
//!
//! The last field is `digest`: the BLAKE3 digest of the file's bytes, taken with 64 zeros in its place. So every
//! byte of the file is covered, white space and the digest itself included, and the file remains plain JSON.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{AtomicFile, Digest, StoreError, digest_bytes, write_atomic};

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    #[serde(flatten)]
    content: T,
    digest: Digest,
}

/// Writes `content`, which must serialise as a JSON object, with its digest, atomically. Returns the digest.
///
/// # Errors
/// [`StoreError::BadManifest`] if it does not serialise, [`StoreError::Io`] if it cannot be written.
pub fn write<T: Serialize>(path: &Path, content: &T) -> Result<Digest, StoreError> {
    let (text, digest) = seal(path, content)?;
    write_atomic(path, |file| file.write_all(text.as_bytes()))?;
    Ok(digest)
}

/// [`write()`], if there is no such file yet: see [`AtomicFile::commit_new`]. `None` if there is.
///
/// # Errors
/// As [`write()`].
pub fn write_new<T: Serialize>(path: &Path, content: &T) -> Result<Option<Digest>, StoreError> {
    let (text, digest) = seal(path, content)?;
    let mut file = AtomicFile::create(path)?;
    file.write_all(text.as_bytes()).map_err(StoreError::io(path, "write"))?;
    Ok(file.commit_new()?.map(|_| digest))
}

fn seal<T: Serialize>(path: &Path, content: &T) -> Result<(String, Digest), StoreError> {
    let bad = |source| StoreError::BadManifest { path: path.to_owned(), source };
    let blank = Digest::from_bytes([0; 32]);
    let mut text = serde_json::to_string_pretty(&Sealed { content, digest: blank }).map_err(bad)?;
    text.push('\n');
    let digest = digest_bytes(text.as_bytes());
    let text = replace(&text, blank, digest).unwrap_or_default();
    Ok((text, digest))
}

/// Reads what [`write()`] wrote, and its digest, which has been checked.
///
/// # Errors
/// [`StoreError::Io`] if it cannot be read, [`StoreError::BadManifest`] if it is not of this form,
/// [`StoreError::ManifestDigest`] if a byte of it has changed.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, Digest), StoreError> {
    let bad = |source| StoreError::BadManifest { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(StoreError::io(path, "read"))?;
    let Sealed { content, digest } = serde_json::from_slice::<Sealed<T>>(&bytes).map_err(bad)?;
    let found = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| replace(text, digest, Digest::from_bytes([0; 32])))
        .map_or_else(|| digest_bytes(&bytes), |blanked| digest_bytes(blanked.as_bytes()));
    if found == digest {
        Ok((content, digest))
    } else {
        Err(StoreError::ManifestDigest { path: path.to_owned(), expected: digest, found })
    }
}

/// The text with the last `old` replaced. `None` if it does not hold it in its one spelling.
fn replace(text: &str, old: Digest, new: Digest) -> Option<String> {
    let at = text.rfind(&old.to_string())?;
    let mut text = text.to_owned();
    text.replace_range(at..at + 64, &new.to_string());
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_changed_byte_of_a_sealed_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.json");
        let content = BTreeMap::from([("a".to_owned(), 1u64), ("b".to_owned(), u64::MAX)]);
        let digest = write(&path, &content).unwrap();
        assert_eq!(read::<BTreeMap<String, u64>>(&path).unwrap(), (content, digest));
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                fs::write(&path, &bad).unwrap();
                assert!(read::<BTreeMap<String, u64>>(&path).is_err(), "byte {at}, bit {bit}");
            }
        }
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(read::<BTreeMap<String, u64>>(&path).is_err(), "cut at {cut}");
        }
    }
}
