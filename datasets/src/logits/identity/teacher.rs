//! Which model: its tensors and what its configuration says of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical;
use super::difference::{Differences, compare_maps};
use crate::store::{Digest, Hasher, digest_bytes};

/// Keys of a `config.json` that do not change what a model computes.
const IDLE: &[&str] = &[
    "_name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "use_cache",
    "architectures",
];

/// A model, by its tensors and its configuration; not by how its files are cut.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Teacher {
    /// What the configuration says, key by key, without what changes nothing.
    pub config: BTreeMap<String, String>,
    /// Each tensor: type, shape, and the start of the digest of its bytes.
    pub tensors: BTreeMap<String, String>,
    /// What is put on top: adapters, quantisation.
    pub extra: BTreeMap<String, String>,
}

impl Teacher {
    /// A model of a configuration, the text of a `config.json`, without a tensor yet.
    ///
    /// # Errors
    /// If the text is no JSON.
    pub fn new(config: &str) -> Result<Self, serde_json::Error> {
        let config: BTreeMap<String, Value> = serde_json::from_str(config)?;
        let config = config
            .into_iter()
            .filter(|(key, value)| !IDLE.contains(&key.as_str()) && !value.is_null())
            .map(|(key, value)| (key, canonical(&value)))
            .collect();
        Ok(Self { config, ..Self::default() })
    }

    /// Adds a tensor, by the digest of its bytes as they are stored.
    pub fn add_tensor(&mut self, name: &str, dtype: &str, shape: &[u64], digest: Digest) {
        let digest = digest.to_string();
        self.tensors.insert(name.to_owned(), format!("{dtype} {shape:?} {}", &digest[..32]));
    }

    /// The model of a Hugging Face directory: `config.json`, and every `*.safetensors`, which are read once.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what its name says.
    pub fn of_directory(dir: &Path) -> io::Result<Self> {
        let named = |path: &Path, e: io::Error| {
            io::Error::new(e.kind(), format!("`{}`: {e}", path.display()))
        };
        let path = dir.join("config.json");
        let config = fs::read_to_string(&path).map_err(|e| named(&path, e))?;
        let mut teacher = Self::new(&config).map_err(|e| named(&path, e.into()))?;
        let mut files: Vec<_> = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for path in files.iter().map(fs::DirEntry::path) {
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                teacher.add_file(&path).map_err(|e| named(&path, e))?;
            }
        }
        if teacher.tensors.is_empty() {
            let text = format!("`{}` has no tensor: expected *.safetensors", dir.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(teacher)
    }

    /// The tensors of a safetensors file: a length, a header in JSON, and bytes.
    fn add_file(&mut self, path: &Path) -> io::Result<()> {
        #[derive(Deserialize)]
        struct Tensor {
            dtype: String,
            shape: Vec<u64>,
            data_offsets: (u64, u64),
        }
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > bytes.saturating_sub(8) {
            return Err(bad("its header is longer than the file"));
        }
        let mut header = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact(&mut header)?;
        let header: BTreeMap<String, Value> = serde_json::from_slice(&header)?;
        for (name, value) in header {
            if name == "__metadata__" {
                continue;
            }
            let Tensor { dtype, shape, data_offsets: (start, end) } =
                serde_json::from_value(value)?;
            if start > end || end > bytes - 8 - length {
                return Err(bad(&format!("tensor `{name}` lies outside of it")));
            }
            file.seek(SeekFrom::Start(8 + length + start))?;
            let digest = digest_of(&mut (&mut file).take(end - start))?;
            self.add_tensor(&name, &dtype, &shape, digest);
        }
        Ok(())
    }

    /// One digest of it.
    pub fn fingerprint(&self) -> Digest {
        digest_bytes(canonical(self).as_bytes())
    }

    pub(super) fn compare(&self, found: &Self, all: &mut Differences) {
        compare_maps("teacher.config", &self.config, &found.config, all);
        compare_maps("teacher.tensors", &self.tensors, &found.tensors, all);
        compare_maps("teacher.extra", &self.extra, &found.extra, all);
    }
}

fn digest_of(reader: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.digest()),
            n => hasher.update(&buffer[..n]),
        };
    }
}
