//! What a cache has: bytes by column, samples by source, how many entries, how much mass.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::code::from_steps;
use super::layout::{COLUMNS, Column as Kind};
use super::stored::List;
use super::{Cache, LogitError};
use crate::TokenLists;
use crate::parquet_file;
use crate::shard::{NotOurs, ShardError, read_lists};

/// What a cache has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stat {
    /// The commit as of which it is told.
    pub commit: Option<u64>,
    /// How samples were kept: profiles, and how many samples each has.
    pub profiles: BTreeMap<String, u64>,
    /// How many shards.
    pub shards: u64,
    /// How many row groups.
    pub row_groups: u64,
    /// How many samples.
    pub samples: u64,
    /// How many rows hold a sample that another row serves.
    pub duplicates: u64,
    /// How many tokens the rows have.
    pub tokens: u64,
    /// How many distributions.
    pub positions: u64,
    /// How many entries these have.
    pub entries: u64,
    /// How many bytes the shards have, footers and all.
    pub bytes: u64,
    /// `bytes / tokens`.
    pub bytes_per_token: f64,
    /// What each column takes.
    pub columns: Vec<ColumnBytes>,
    /// What there is of each source.
    pub sources: BTreeMap<String, SourceCount>,
    /// How many positions have how many entries.
    pub k: BTreeMap<u32, u64>,
    /// How many positions have how much mass among their entries.
    pub mass: Vec<MassBin>,
    /// The mean of that mass.
    pub mean_mass: f64,
    /// Shards that are committed and cannot be read.
    pub lost: Vec<String>,
}

/// What a column takes, in all shards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnBytes {
    /// Its name; `(rest)` for what is no column.
    pub column: String,
    /// Stored bytes.
    pub bytes: u64,
    /// Divided by all tokens.
    pub bytes_per_token: f64,
}

/// What there is of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SourceCount {
    /// Samples.
    pub samples: u64,
    /// Tokens.
    pub tokens: u64,
}

/// Positions of a range of mass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MassBin {
    /// The least.
    pub from: f64,
    /// The most, without it; with it where it is 1.
    pub to: f64,
    /// How many positions.
    pub positions: u64,
}

const EDGES: [f64; 11] = [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999, 1.0];

/// Tells what a cache has. Of the shards the footers are read, and the columns of counts and tails.
///
/// # Errors
/// [`LogitError`] if a shard cannot be read.
pub fn stat(cache: &Cache) -> Result<Stat, LogitError> {
    let bins = EDGES.windows(2).map(|edge| MassBin { from: edge[0], to: edge[1], positions: 0 });
    let mut stat = Stat {
        commit: cache.commit(),
        profiles: BTreeMap::new(),
        shards: cache.shards().len() as u64,
        row_groups: cache.groups().len() as u64,
        samples: cache.len() as u64,
        duplicates: 0,
        tokens: 0,
        positions: 0,
        entries: 0,
        bytes: 0,
        bytes_per_token: 0.0,
        columns: Vec::new(),
        sources: BTreeMap::new(),
        k: BTreeMap::new(),
        mass: bins.collect(),
        mean_mass: 0.0,
        lost: cache.lost().iter().map(|lost| lost.path.display().to_string()).collect(),
    };
    for entry in cache.entries() {
        let source = stat.sources.entry(entry.source.to_string()).or_default();
        source.samples += 1;
        source.tokens += u64::from(entry.num_tokens);
    }
    let mut columns = COLUMNS.map(|(name, _)| (name, 0_u64));
    let mut masses = 0.0;
    for (path, added) in cache.shards() {
        *stat.profiles.entry(added.profile.to_string()).or_default() += added.samples;
        stat.duplicates += added.samples;
        stat.tokens += added.tokens;
        stat.positions += added.positions;
        stat.entries += added.entries;
        stat.bytes += added.shard.bytes;
        masses += stat.add_shard(path, &mut columns)?;
    }
    stat.duplicates = stat.duplicates.saturating_sub(stat.samples);
    let per_token = |bytes: u64| bytes as f64 / stat.tokens.max(1) as f64;
    stat.bytes_per_token = per_token(stat.bytes);
    stat.mean_mass = masses / stat.positions.max(1) as f64;
    let rest = stat.bytes - columns.iter().map(|(_, bytes)| bytes).sum::<u64>().min(stat.bytes);
    stat.columns = columns
        .into_iter()
        .chain([("(rest)", rest)])
        .map(|(column, bytes)| (column.to_owned(), bytes, per_token(bytes)))
        .map(|(column, bytes, bytes_per_token)| ColumnBytes { column, bytes, bytes_per_token })
        .collect();
    Ok(stat)
}

impl Stat {
    /// Counts what a shard's columns take, and their values; gives the sum of the masses.
    fn add_shard(&mut self, path: &Path, columns: &mut [(&str, u64)]) -> Result<f64, LogitError> {
        let not_parquet = |source| ShardError::NotParquet { path: path.to_owned(), source };
        let (file, metadata) = parquet_file::open(path).map_err(not_parquet)?;
        let file = Arc::new(file);
        let schema = metadata.metadata().file_metadata().schema_descr();
        let mut sum = 0.0;
        for group in metadata.metadata().row_groups() {
            let mut lists: BTreeMap<&str, TokenLists> = BTreeMap::new();
            for leaf in 0..schema.num_columns() {
                let name = schema.get_column_root(leaf).name();
                let Some(index) = COLUMNS.iter().position(|(column, _)| *column == name) else {
                    continue;
                };
                let bytes = u64::try_from(group.column(leaf).compressed_size()).unwrap_or(0);
                columns[index].1 += bytes;
                if let (name, Kind::List(List::Counts | List::Tail | List::Tokens)) = COLUMNS[index]
                {
                    let values = read(path, &file, group, leaf, name)?;
                    lists.insert(name, values);
                }
            }
            sum += self.add_group(&lists);
        }
        let k_max = k_max(path, &metadata)?;
        for (k, positions) in k_max.into_iter().filter(|(k, _)| *k > 0) {
            *self.k.entry(k).or_default() += positions;
        }
        Ok(sum)
    }

    fn add_group(&mut self, lists: &BTreeMap<&str, TokenLists>) -> f64 {
        for count in lists.get("k").into_iter().flat_map(|lists| &lists.tokens) {
            *self.k.entry(*count).or_default() += 1;
        }
        let mut sum = 0.0;
        for tail in lists.get("tail_lp").into_iter().flat_map(|lists| &lists.tokens) {
            let mass = 1.0 - f64::from(from_steps(*tail)).exp();
            let bin = self.mass.iter().rposition(|bin| bin.from <= mass).unwrap_or(0);
            self.mass[bin].positions += 1;
            sum += mass;
        }
        sum
    }
}

fn read(
    path: &Path,
    file: &Arc<File>,
    group: &parquet::file::metadata::RowGroupMetaData,
    leaf: usize,
    column: &str,
) -> Result<TokenLists, ShardError> {
    let mut lists = TokenLists::default();
    let source = match parquet_file::guarded(|| Ok(read_lists(file, group, leaf, &mut lists))) {
        Ok(Ok(_)) => return Ok(lists),
        Ok(Err(NotOurs::Damaged(error))) => error.into(),
        Ok(Err(NotOurs::Layout)) => {
            parquet::errors::ParquetError::General("it is encoded in another way".to_owned()).into()
        }
        Err(fault) => fault,
    };
    let (path, column) = (path.to_owned(), column.to_owned());
    Err(ShardError::BadRowGroup { path, row_group: 0, column, source })
}

/// How many positions have how many entries, where all of a row have as many.
fn k_max(
    path: &Path,
    metadata: &parquet::arrow::arrow_reader::ArrowReaderMetadata,
) -> Result<BTreeMap<u32, u64>, ShardError> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt32Type;
    let roots = [
        parquet_file::root(path, "n_tokens", metadata)?,
        parquet_file::root(path, "k_max", metadata)?,
    ];
    let mut counts = BTreeMap::new();
    for row_group in 0..metadata.metadata().num_row_groups() {
        let bad = |source| ShardError::BadRowGroup {
            path: path.to_owned(),
            row_group,
            column: "k_max".to_owned(),
            source,
        };
        let file = File::open(path).map_err(|e| bad(e.into()))?;
        let batches = parquet_file::row_group(file, metadata, row_group, &roots, 1 << 16);
        for batch in batches.map_err(bad)? {
            let column = |name: &str| {
                let array = batch.column_by_name(name)?.as_primitive_opt::<UInt32Type>()?;
                Some(array.values().to_vec())
            };
            let (tokens, k) = (column("n_tokens"), column("k_max"));
            for (tokens, k) in tokens.into_iter().flatten().zip(k.into_iter().flatten()) {
                *counts.entry(k).or_default() += u64::from(tokens.saturating_sub(1));
            }
        }
    }
    Ok(counts)
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, tokens, positions, entries, shards, row_groups, .. } = self;
        writeln!(f, "samples      {samples}")?;
        writeln!(f, "tokens       {tokens}, {positions} distributions, {entries} entries")?;
        writeln!(f, "shards       {shards}, {row_groups} row groups, {} bytes", self.bytes)?;
        if let Some(commit) = self.commit {
            writeln!(f, "commit       {commit}")?;
        }
        for (profile, samples) in &self.profiles {
            writeln!(f, "profile      {profile}: {samples} rows")?;
        }
        if self.duplicates > 0 {
            writeln!(f, "duplicates   {} rows that another serves: compact them", self.duplicates)?;
        }
        for path in &self.lost {
            writeln!(f, "lost         {path}")?;
        }
        writeln!(f, "\nbytes a token {:>10.2}", self.bytes_per_token)?;
        for column in self.columns.iter().filter(|column| column.bytes > 0) {
            writeln!(f, "  {:<12}{:>10.2}", column.column, column.bytes_per_token)?;
        }
        writeln!(f, "\n{:<32}{:>12}{:>14}", "source", "samples", "tokens")?;
        for (source, count) in &self.sources {
            writeln!(f, "{source:<32}{:>12}{:>14}", count.samples, count.tokens)?;
        }
        writeln!(f, "\nentries  positions")?;
        for (k, positions) in &self.k {
            writeln!(f, "{k:>7}  {positions}")?;
        }
        writeln!(f, "\nmass among the entries, {:.4} in the mean", self.mean_mass)?;
        for bin in self.mass.iter().filter(|bin| bin.positions > 0) {
            let share = 100.0 * bin.positions as f64 / self.positions.max(1) as f64;
            writeln!(f, "{:>7} to {:<7}{share:>7.2} %", bin.from, bin.to)?;
        }
        Ok(())
    }
}
