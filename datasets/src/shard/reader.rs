//! Reads shards, ours and those of others.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::reader::ChunkReader;

use super::decode::{self, COLUMNS, Place};
use super::verified::Verified;
use super::{Header, Sample, SampleId, ShardEntry, ShardError, manifest};
use crate::parquet_file;
use crate::store::{Digest, Hasher};

/// How many tokens are decoded at once: larger batches are slower (`reference/data.md`, finding 8).
const BATCH_TOKENS: u64 = 1 << 18;
/// As many rows at once where their tokens are not known.
const BATCH_ROWS: usize = 64;

/// The shards of a folder, opened. Reading keeps no position: any thread reads any row group.
#[derive(Debug)]
pub struct Shards {
    files: Vec<PathBuf>,
    digest: Digest,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Ours { header: Header, entries: Vec<ShardEntry> },
    Foreign { column: String, vocab_size: u32, row_groups: Vec<usize> },
}

impl Shards {
    /// Opens the shards that the manifest in `dir` names, and checks that their files are there, of the right length.
    /// With a tokenizer's fingerprint, also that they were made with it.
    ///
    /// # Errors
    /// [`ShardError`]: what is missing, or differs from the manifest.
    pub fn open(dir: &Path, expect_tokenizer: Option<Digest>) -> Result<Self, ShardError> {
        let (manifest::Manifest { header, entries, .. }, digest) = manifest::read(dir)?;
        if let Some(expected) = expect_tokenizer.filter(|expected| *expected != header.tokenizer) {
            let (path, found) = (dir.to_owned(), header.tokenizer);
            return Err(ShardError::OtherTokenizer { path, expected, found });
        }
        let mut files = Vec::new();
        for entry in &entries {
            if Path::new(&entry.file).file_name() != Some(entry.file.as_ref()) {
                let (path, name) = (dir.to_owned(), entry.file.clone());
                return Err(ShardError::BadName { path, name });
            }
            let path = dir.join(&entry.file);
            let found = fs::metadata(&path).map_err(ShardError::io(&path, "find"))?.len();
            if found != entry.bytes {
                return Err(ShardError::Size { path, expected: entry.bytes, found });
            }
            files.push(path);
        }
        if files.is_empty() {
            return Err(ShardError::Empty { path: dir.to_owned() });
        }
        Ok(Self { files, digest, kind: Kind::Ours { header, entries } })
    }

    /// Opens Parquet files of others, one or a folder of them: a column of lists of integers of any type, each below
    /// `vocab_size`. There is no manifest, so nothing but the values' range can be checked. A sample's id is that of
    /// its tokens, and its `num_bytes` is 0: not known.
    ///
    /// # Errors
    /// [`ShardError`]: no file, or one without such a column.
    pub fn foreign(path: &Path, column: &str, vocab_size: u32) -> Result<Self, ShardError> {
        let mut files = Vec::new();
        if path.is_dir() {
            for entry in fs::read_dir(path).map_err(ShardError::io(path, "list"))? {
                let file = entry.map_err(ShardError::io(path, "list"))?.path();
                let hidden =
                    file.file_name().is_some_and(|n| n.to_string_lossy().starts_with(['.', '_']));
                if !hidden && file.extension().is_some_and(|e| e == "parquet") {
                    files.push(file);
                }
            }
            files.sort();
        } else {
            files.push(path.to_owned());
        }
        let mut row_groups = Vec::new();
        let mut hasher = Hasher::new();
        hasher.update(column.as_bytes()).update(&vocab_size.to_le_bytes());
        for file in &files {
            let opened = File::open(file).map_err(ShardError::io(file, "open"))?;
            let metadata = metadata(file, &opened)?;
            find(file, column, &metadata)?;
            row_groups.push(metadata.metadata().num_row_groups());
            hash_edges(&mut hasher, file).map_err(ShardError::io(file, "read"))?;
        }
        if files.is_empty() {
            return Err(ShardError::Empty { path: path.to_owned() });
        }
        let kind = Kind::Foreign { column: column.to_owned(), vocab_size, row_groups };
        Ok(Self { files, digest: hasher.digest(), kind })
    }

    /// How many shards there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no shard; an opened folder has at least one.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What the manifest says of all shards; foreign ones have no manifest.
    pub fn header(&self) -> Option<&Header> {
        match &self.kind {
            Kind::Ours { header, .. } => Some(header),
            Kind::Foreign { .. } => None,
        }
    }

    /// What the manifest says of each shard; of foreign ones, nothing.
    pub fn entries(&self) -> &[ShardEntry] {
        match &self.kind {
            Kind::Ours { entries, .. } => entries,
            Kind::Foreign { .. } => &[],
        }
    }

    /// The number of ids: every token that is read is below it.
    pub fn vocab_size(&self) -> u32 {
        match &self.kind {
            Kind::Ours { header, .. } => header.vocab_size,
            Kind::Foreign { vocab_size, .. } => *vocab_size,
        }
    }

    /// The manifest's digest. Foreign shards are known by their names, lengths and first and last 64 KiB.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many row groups a shard has; 0 if there is no such shard.
    pub fn num_row_groups(&self, shard: usize) -> usize {
        match &self.kind {
            Kind::Ours { entries, .. } => entries.get(shard).map_or(0, |e| e.row_groups.len()),
            Kind::Foreign { row_groups, .. } => row_groups.get(shard).copied().unwrap_or(0),
        }
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
    pub fn read_row_group(
        &self,
        shard: usize,
        row_group: usize,
    ) -> Result<Vec<Sample>, ShardError> {
        if row_group >= self.num_row_groups(shard) {
            return Err(ShardError::NoSuch { shard, row_group });
        }
        let path = &self.files[shard];
        match &self.kind {
            Kind::Ours { header, entries } => {
                ours(path, header.vocab_size, &entries[shard], row_group)
            }
            Kind::Foreign { column, vocab_size, .. } => {
                foreign(path, column, *vocab_size, row_group)
            }
        }
    }
}

fn ours(
    path: &Path,
    vocab_size: u32,
    entry: &ShardEntry,
    row_group: usize,
) -> Result<Vec<Sample>, ShardError> {
    let verified = Verified::read(path, entry, row_group)?;
    let metadata = metadata(path, &verified)?;
    let expected = &entry.row_groups[row_group];
    let equal = |what, expected: u64, found: u64| {
        let path = path.to_owned();
        if expected == found {
            return Ok(());
        }
        Err(ShardError::Inconsistent { path, row_group, what, expected, found })
    };
    let found = metadata.metadata().num_row_groups();
    equal("row groups of the file", entry.row_groups.len() as u64, found as u64)?;
    let roots: Result<Vec<_>, _> = COLUMNS.iter().map(|c| root(path, c, &metadata)).collect();
    let rows = (BATCH_TOKENS * expected.rows / expected.tokens.max(1)).clamp(1, 1 << 16);
    let rows = usize::try_from(rows).unwrap_or(BATCH_ROWS);
    let batches = read_batches(path, verified, &metadata, row_group, &roots?, rows)?;
    let mut first_row = entry.row_groups.iter().take(row_group).map(|group| group.rows).sum();
    let mut samples = Vec::new();
    for batch in &batches {
        let place = Place { path, column: "tokens", vocab_size, first_row };
        samples.append(&mut decode::samples(&place, batch)?);
        first_row += batch.num_rows() as u64;
    }
    equal("rows", expected.rows, samples.len() as u64)?;
    let tokens = samples.iter().map(|sample| sample.tokens.len() as u64).sum();
    equal("tokens", expected.tokens, tokens)?;
    let max_id = samples.iter().flat_map(|s| &s.tokens).copied().max().unwrap_or(0);
    equal("as its largest id", u64::from(expected.max_id), u64::from(max_id))?;
    Ok(samples)
}

fn foreign(
    path: &Path,
    column: &str,
    vocab_size: u32,
    row_group: usize,
) -> Result<Vec<Sample>, ShardError> {
    let file = File::open(path).map_err(ShardError::io(path, "open"))?;
    let metadata = metadata(path, &file)?;
    let root = find(path, column, &metadata)?;
    let groups = metadata.metadata().row_groups();
    let mut first_row = groups.iter().take(row_group).map(|g| g.num_rows().unsigned_abs()).sum();
    let batches = read_batches(path, file, &metadata, row_group, &[root], BATCH_ROWS)?;
    let source: Arc<str> = path.file_name().unwrap_or_default().to_string_lossy().into();
    let mut samples = Vec::new();
    for batch in &batches {
        let place = Place { path, column, vocab_size, first_row };
        for tokens in decode::lists(&place, batch.column(0))? {
            let (id, source) = (SampleId::of_tokens(&tokens), Arc::clone(&source));
            samples.push(Sample { id, source, tokens, num_bytes: 0 });
        }
        first_row += batch.num_rows() as u64;
    }
    Ok(samples)
}

fn metadata(path: &Path, file: &impl ChunkReader) -> Result<ArrowReaderMetadata, ShardError> {
    parquet_file::metadata(file)
        .map_err(|source| ShardError::NotParquet { path: path.to_owned(), source })
}

fn read_batches(
    path: &Path,
    file: impl ChunkReader + 'static,
    metadata: &ArrowReaderMetadata,
    row_group: usize,
    roots: &[usize],
    rows: usize,
) -> Result<Vec<RecordBatch>, ShardError> {
    parquet_file::row_group(file, metadata, row_group, roots, rows)
        .map_err(|source| ShardError::BadRowGroup { path: path.to_owned(), row_group, source })
}

/// The index of a column.
fn root(path: &Path, column: &str, metadata: &ArrowReaderMetadata) -> Result<usize, ShardError> {
    let fields = metadata.schema().fields();
    fields.find(column).map(|(index, _)| index).ok_or_else(|| ShardError::MissingColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        have: fields.iter().map(|field| field.name().clone()).collect(),
    })
}

/// The index of a column of tokens.
fn find(path: &Path, column: &str, metadata: &ArrowReaderMetadata) -> Result<usize, ShardError> {
    let index = root(path, column, metadata)?;
    let found = metadata.schema().field(index).data_type();
    if decode::is_token_list(found) {
        return Ok(index);
    }
    let (path, column, found) = (path.to_owned(), column.to_owned(), found.to_string());
    Err(ShardError::WrongType { path, column, expected: "a list of integers", found })
}

fn hash_edges(hasher: &mut Hasher, path: &Path) -> std::io::Result<()> {
    const EDGE: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    hasher.update(&bytes.to_le_bytes());
    for from in [0, bytes.saturating_sub(EDGE)] {
        let mut edge = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.by_ref().take(EDGE).read_to_end(&mut edge)?;
        hasher.update(&edge);
    }
    Ok(())
}
