//! What is measured with: documents, and the shards of them in some layout.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use datasets::shard::{Header, Layout, RemoteFolder, Sample, ShardWriter, Shards, write_manifest};
use datasets::storage::{Location, Options};
use datasets::store::{create_dir_all, digest_bytes};

use super::synthetic::Zipf;
use crate::error::Error;
use crate::stages::sources::{is_address, take_in};

/// Documents in memory.
#[derive(Debug)]
pub struct Documents {
    /// They.
    pub samples: Vec<Sample>,
    /// What their shards say of them.
    pub header: Header,
    /// What they are, for people.
    pub what: String,
}

impl Documents {
    /// Draws as many tokens.
    #[must_use]
    pub fn drawn(tokens: u64, vocab_size: u32) -> Self {
        let zipf = Zipf::new(vocab_size);
        let mut left = tokens;
        let mut samples = Vec::new();
        let mut index = 0;
        while left > 0 {
            let sample = zipf.document(index);
            left = left.saturating_sub(sample.tokens.len() as u64);
            samples.push(sample);
            index += 1;
        }
        let what = format!(
            "drawn by a Zipf law, {vocab_size} ids, entropy {:.3} bytes a token",
            zipf.entropy() / 8.0
        );
        let tokenizer = digest_bytes(what.as_bytes());
        let header = Header { tokenizer, vocab_size, bos_id: None, eos_id: Some(0) };
        Self { samples, header, what }
    }

    /// Reads as many tokens of shards.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(locations: &[String], tokens: u64) -> Result<Self, Error> {
        let mut folders = Vec::new();
        for location in locations {
            folders.extend(folders_of(location)?);
        }
        let (mut samples, mut header, mut left) = (Vec::new(), None, tokens);
        for location in &folders {
            let shards = open(location, Options::default())?;
            for group in shards.groups() {
                if left == 0 {
                    break;
                }
                for sample in shards.read_row_group(group.shard, group.row_group)? {
                    left = left.saturating_sub(sample.tokens.len() as u64);
                    samples.push(sample);
                }
            }
            header.get_or_insert_with(|| shards.header().clone());
        }
        let header = header.ok_or_else(|| Error::NoShards { path: locations[0].clone().into() })?;
        Ok(Self { samples, header, what: folders.join(", ") })
    }

    /// How many tokens they have.
    #[must_use]
    pub fn num_tokens(&self) -> u64 {
        self.samples.iter().map(|sample| sample.tokens.len() as u64).sum()
    }

    /// Writes them as one shard with its manifest.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn write(&self, dir: &Path, layout: Layout) -> Result<Arc<Shards>, Error> {
        create_dir_all(dir)?;
        let path = dir.join("tokens-00000.parquet");
        let mut writer = ShardWriter::with_layout(&path, &self.header, layout)?;
        for sample in &self.samples {
            writer.push(sample)?;
        }
        let entry = writer.finish()?;
        write_manifest(dir, &self.header, &[entry])?;
        Ok(Arc::new(Shards::open(dir, None)?))
    }
}

/// Opens shards where they lie.
///
/// # Errors
/// See [`Error`].
pub fn open(location: &str, options: Options) -> Result<Shards, Error> {
    match Location::parse(location)? {
        Location::Local(path) => Ok(Shards::open(&path, None)?),
        remote => {
            let copy = tempfile::tempdir().map_err(Error::io(location, "copy the manifest of"))?;
            take_in(&RemoteFolder::open(&remote, options)?, copy.path(), None)
        }
    }
}

/// The folders of shards that a location means: itself, or the training sources of a run.
fn folders_of(location: &str) -> Result<Vec<String>, Error> {
    let path = Path::new(location);
    if is_address(location) || path.join("manifest.json").is_file() {
        return Ok(vec![location.to_owned()]);
    }
    let train = path.join("tokens").join("train");
    let from = if train.is_dir() { train } else { path.to_owned() };
    let mut folders = Vec::new();
    for entry in fs::read_dir(&from).map_err(Error::io(&from, "list"))? {
        let folder = entry.map_err(Error::io(&from, "list"))?.path();
        if folder.join("manifest.json").is_file() {
            folders.push(folder.to_string_lossy().into_owned());
        }
    }
    folders.sort();
    if folders.is_empty() {
        return Err(Error::NoShards { path: path.to_owned() });
    }
    Ok(folders)
}

/// Stored bytes a token, everything counted.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of bytes and tokens")]
pub fn bytes_per_token(shards: &Shards) -> f64 {
    let (bytes, tokens) = shards
        .entries()
        .fold((0, 0), |(bytes, tokens), entry| (bytes + entry.bytes, tokens + entry.num_tokens()));
    bytes as f64 / tokens.max(1) as f64
}

/// Asks the system to forget the pages of the files in a folder: they are read from the disk next time.
///
/// # Errors
/// If a file cannot be opened, or the system refuses.
pub fn drop_cache(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let file = fs::File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}
