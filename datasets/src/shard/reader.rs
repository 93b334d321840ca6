//! Reads shards, ours and those of others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adopt::adopt;
use super::file::ShardFile;
use super::folder::{Folder, LocalFolder};
use super::reading::Reading;
use super::{Header, Sample, SampleId, ShardEntry, ShardError, manifest};
use crate::TokenLists;
use crate::storage::Counts;
use crate::store::Digest;

/// A row group of all shards of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Its shard.
    pub shard: usize,
    /// Its place there.
    pub row_group: usize,
    /// Samples.
    pub rows: u64,
    /// Tokens.
    pub tokens: u64,
    /// Stored bytes.
    pub bytes: u64,
}

/// The shards of a folder, opened. Reading keeps no position: any thread reads any row group.
#[derive(Debug)]
pub struct Shards {
    files: Vec<ShardFile>,
    digest: Digest,
    header: Header,
    /// The column of token lists, in files of others.
    column: Option<String>,
}

impl Shards {
    /// Opens the shards that the manifest in `dir` names, and checks that their files are there, of the right length.
    /// With a tokenizer's fingerprint, also that they were made with it.
    ///
    /// # Errors
    /// [`ShardError`]: what is missing, or differs from the manifest.
    pub fn open(dir: &Path, expect_tokenizer: Option<Digest>) -> Result<Self, ShardError> {
        Self::open_in(dir, &LocalFolder(dir.to_owned()), expect_tokenizer)
    }

    /// [`open`](Self::open), with the manifest in `dir` and the files in another folder.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(
        dir: &Path,
        folder: &dyn Folder,
        expect_tokenizer: Option<Digest>,
    ) -> Result<Self, ShardError> {
        let (manifest, digest) = manifest::read(dir)?;
        let header = manifest.header;
        if let Some(expected) = expect_tokenizer.filter(|expected| *expected != header.tokenizer) {
            let (path, found) = (dir.to_owned(), header.tokenizer);
            return Err(ShardError::OtherTokenizer { path, expected, found });
        }
        let files = open_all(folder, manifest.entries)?;
        Ok(Self { files, digest, header, column: manifest.column })
    }

    /// Takes in Parquet files of others, a folder of them or one: a column of lists of integers of any type, or of
    /// little-endian integers as binary. All of it is read once, for the manifest, which is written to `dir`: from then
    /// on the files are checked as ours are, by [`open_in`](Self::open_in). A sample's id is that of its tokens, and its
    /// `num_bytes` is 0: not known.
    ///
    /// # Errors
    /// [`ShardError`]: no file, one without such a column, damage, or a token that is not below `header.vocab_size`.
    pub fn adopt(
        folder: &dyn Folder,
        column: &str,
        header: &Header,
        dir: &Path,
    ) -> Result<Self, ShardError> {
        let entries = adopt(folder, column, header.vocab_size)?;
        let column = Some(column.to_owned());
        let digest = manifest::write(dir, header, column.as_deref(), &folder.name(), &entries)?;
        let files = open_all(folder, entries)?;
        Ok(Self { files, digest, header: header.clone(), column })
    }

    /// Takes in shards of ours that lie elsewhere: their manifest is copied to `dir`, and
    /// [`open_in`](Self::open_in) finds it there from then on.
    ///
    /// # Errors
    /// As [`open_in`](Self::open_in).
    pub fn take_in(
        folder: &dyn Folder,
        manifest: &[u8],
        dir: &Path,
        expect_tokenizer: Option<Digest>,
    ) -> Result<Self, ShardError> {
        manifest::copy(dir, manifest)?;
        Self::open_in(dir, folder, expect_tokenizer)
    }

    /// How many shards there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no shard; an opened folder has at least one.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What the manifest says of all shards.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the manifest says of each shard.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &ShardEntry> {
        self.files.iter().map(|file| &file.entry)
    }

    /// The manifest's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The row groups of all shards, in order.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        for (shard, file) in self.files.iter().enumerate() {
            for (row_group, group) in file.entry.row_groups.iter().enumerate() {
                let (rows, tokens, bytes) = (group.rows, group.tokens, group.bytes);
                groups.push(Group { shard, row_group, rows, tokens, bytes });
            }
        }
        groups
    }

    /// How many row groups a shard has; 0 if there is no such shard.
    pub fn num_row_groups(&self, shard: usize) -> usize {
        self.files.get(shard).map_or(0, |file| file.entry.row_groups.len())
    }

    /// A row group will be read soon.
    pub fn will_need(&self, shard: usize, row_group: usize) {
        if let Some(file) = self.files.get(shard) {
            file.will_need(row_group);
        }
    }

    /// What reading them from elsewhere has cost so far; nothing, on this machine.
    pub fn fetched(&self) -> Counts {
        self.files.first().map(ShardFile::fetched).unwrap_or_default()
    }

    /// The samples of a shard.
    ///
    /// # Errors
    /// As [`read_row_group`](Self::read_row_group).
    pub fn read(&self, shard: usize) -> Result<Vec<Sample>, ShardError> {
        let mut samples = Vec::new();
        if shard >= self.len() {
            return Err(ShardError::NoSuch { shard, row_group: 0 });
        }
        for row_group in 0..self.num_row_groups(shard) {
            samples.append(&mut self.read_row_group(shard, row_group)?);
        }
        Ok(samples)
    }

    /// The samples of all shards, in order.
    ///
    /// # Errors
    /// As [`read_row_group`](Self::read_row_group).
    pub fn read_all(&self) -> Result<Vec<Sample>, ShardError> {
        let shards: Result<Vec<_>, _> = (0..self.len()).map(|shard| self.read(shard)).collect();
        Ok(shards?.into_iter().flatten().collect())
    }

    /// The samples of a row group. The stored bytes are hashed before anything is decoded.
    ///
    /// # Errors
    /// [`ShardError`]: damage, or a value that may not be, with file, row group and row.
    pub fn read_row_group(&self, shard: usize, group: usize) -> Result<Vec<Sample>, ShardError> {
        let file = self.file(shard, group)?;
        let (verified, metadata) = file.open(group)?;
        let reading = Reading::new(file, group, &self.header, self.column.as_deref());
        let samples = if self.column.is_none() {
            reading.samples(verified, &metadata)?
        } else {
            let mut lists = TokenLists::default();
            reading.lists(&verified, &metadata, &mut lists)?;
            let name = PathBuf::from(file.name());
            let source: Arc<str> = name.file_name().unwrap_or_default().to_string_lossy().into();
            let sample = |tokens: &[u32]| Sample {
                id: SampleId::of_tokens(tokens),
                source: Arc::clone(&source),
                tokens: tokens.to_vec(),
                num_bytes: 0,
            };
            (0..lists.len()).map(|row| sample(lists.get(row))).collect()
        };
        let tokens = samples.iter().map(|sample| sample.tokens.len() as u64).sum();
        let max_id = samples.iter().flat_map(|s| &s.tokens).copied().max().unwrap_or(0);
        reading.check(&file.entry.row_groups[group], samples.len() as u64, tokens, max_id)?;
        file.check()?;
        Ok(samples)
    }

    /// Appends the token lists of a row group. The stored bytes are hashed before anything is decoded.
    ///
    /// # Errors
    /// As [`read_row_group`](Self::read_row_group); the lists are then as they were.
    pub fn read_tokens(
        &self,
        shard: usize,
        group: usize,
        lists: &mut TokenLists,
    ) -> Result<(), ShardError> {
        let file = self.file(shard, group)?;
        let before = (lists.tokens.len(), lists.len());
        let reading = Reading::new(file, group, &self.header, self.column.as_deref());
        let read = file.open(group).and_then(|(verified, metadata)| {
            let max_id = reading.lists(&verified, &metadata, lists)?;
            let rows = (lists.len() - before.1) as u64;
            let tokens = (lists.tokens.len() - before.0) as u64;
            reading.check(&file.entry.row_groups[group], rows, tokens, max_id)?;
            file.check()
        });
        if read.is_err() {
            lists.tokens.truncate(before.0);
            lists.bounds.truncate(before.1 + 1);
        }
        read
    }

    /// How many tokens each sample of a row group has. Of our own shards, no token is read for it.
    ///
    /// # Errors
    /// As [`read_row_group`](Self::read_row_group).
    pub fn lengths(&self, shard: usize, group: usize) -> Result<Vec<u32>, ShardError> {
        let file = self.file(shard, group)?;
        if self.column.is_some() {
            let mut lists = TokenLists::default();
            self.read_tokens(shard, group, &mut lists)?;
            return Ok(lists.bounds.windows(2).map(|pair| pair[1] - pair[0]).collect());
        }
        let (verified, metadata) = file.open(group)?;
        let reading = Reading::new(file, group, &self.header, None);
        let lengths = reading.lengths(verified, &metadata)?;
        let tokens = lengths.iter().map(|length| u64::from(*length)).sum();
        let known = &file.entry.row_groups[group];
        reading.check(known, lengths.len() as u64, tokens, known.max_id)?;
        Ok(lengths)
    }

    fn file(&self, shard: usize, row_group: usize) -> Result<&ShardFile, ShardError> {
        let file = self.files.get(shard).filter(|file| row_group < file.entry.row_groups.len());
        file.ok_or(ShardError::NoSuch { shard, row_group })
    }
}

fn open_all(folder: &dyn Folder, entries: Vec<ShardEntry>) -> Result<Vec<ShardFile>, ShardError> {
    let name = || PathBuf::from(folder.name());
    if entries.is_empty() {
        return Err(ShardError::Empty { path: name() });
    }
    let open = |entry: ShardEntry| {
        let is_plain = entry.file.is_empty()
            || entry.file.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_plain || entry.file.contains('\\') {
            return Err(ShardError::BadName { path: name(), name: entry.file });
        }
        let file = folder.open(&entry.file).map_err(|source| ShardError::Io {
            path: name().join(&entry.file),
            operation: "open",
            source,
        })?;
        ShardFile::new(file, entry)
    };
    entries.into_iter().map(open).collect()
}
