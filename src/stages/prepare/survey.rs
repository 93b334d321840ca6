//! Which documents were there before: found in a pass of its own, before anything is tokenised.
//!
//! The pass leaves a row a document: its chunk, its place there, its file, the hash of its text and the bands of its
//! MinHash signature, in `tokens/survey/rows-<leg>.parquet`. The rows are the durable relation; what is a duplicate of
//! what is asked of the collections of [`dataflows::corpus`], where a file more costs the difference, and the answer
//! is kept as `tokens/survey/left-out.json`. The first copy stays, in the order of the sources, files and places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::corpus::{Corpus, Doc, Settings, Why};
use dataflows::roles::{Fold, Staging, Work};
use dataflows::{At, Failure, InProcess, Step};
use datasets::near;
use datasets::shard::SampleId;
use datasets::store::{Checkpoints, Digest, create_dir_all, sealed};
use datasets::table::{Column, Table};
use datasets::text::DocumentRef;
use serde::{Deserialize, Serialize};

use super::CHUNKS;
use super::legs::{in_legs, read_state};
use super::read::{Corpora, Documents};
use crate::error::Error;
use crate::recipe::Dedup;
use crate::stages::commit::sealed_part;
use crate::stages::context::Context;

const STAGE: &str = "survey";
const STATE: &str = "survey.json";
const ANSWER: &str = "left-out.json";

/// Why a document is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// Its text was there before.
    Exact,
    /// Nearly its words were there before.
    Near,
}

/// By chunk, the places of the documents that are left out, ascending.
pub(super) type LeftOut = BTreeMap<u64, Vec<(u32, Reason)>>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    corpus: Digest,
    /// The files, in the order in which they were read: a row holds a place in it.
    files: Vec<String>,
    /// The tables of rows, in order.
    tables: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    corpus: Digest,
    near: bool,
    left_out: LeftOut,
}

/// A document, as far as duplicates go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    chunk: u64,
    index: u64,
    file: u64,
    id: u128,
    bytes: u64,
    bands: Vec<u64>,
}

/// Finds the documents that are left out; none without `tokens.dedup`.
///
/// # Errors
/// See [`Error`].
pub(super) fn survey(
    ctx: &Arc<Context>,
    corpora: &Arc<Corpora>,
    fingerprint: Digest,
) -> Result<Arc<LeftOut>, Error> {
    let near = match ctx.run.recipe.tokens.dedup {
        Dedup::None => return Ok(Arc::default()),
        Dedup::Exact => false,
        Dedup::Near => true,
    };
    let dir = ctx.run.path.join("tokens").join("survey");
    create_dir_all(&dir)?;
    let path = dir.join(ANSWER);
    if path.exists()
        && let Ok((answer, _)) = sealed::read::<Answer>(&path)
        && (answer.corpus, answer.near) == (fingerprint, near)
    {
        return Ok(Arc::new(answer.left_out));
    }
    let none = State { corpus: fingerprint, files: Vec::new(), tables: Vec::new() };
    let state = in_legs(
        ctx,
        STAGE,
        corpora,
        none,
        |checkpoint| read_state(checkpoint, STATE, |state: &State| state.corpus, fingerprint),
        Surveying { near },
        |state, checkpoints| {
            let (ctx, dir) = (Arc::clone(ctx), dir.clone());
            Listing { ctx, dir, checkpoints, state, rows: Vec::new() }
        },
    )?;
    let left_out = ask(&dir, &state)?;
    let count: usize = left_out.values().map(Vec::len).sum();
    ctx.progress.end(&format!("{count} documents were there before"));
    sealed::write(&path, &Answer { corpus: fingerprint, near, left_out: left_out.clone() })?;
    Ok(Arc::new(left_out))
}

/// Asks the collections what is a duplicate.
fn ask(dir: &Path, state: &State) -> Result<LeftOut, Error> {
    let mut by_file: BTreeMap<u32, Vec<Doc>> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for name in &state.tables {
        for row in read_rows(&dir.join(name))? {
            let file = u32::try_from(row.file).unwrap_or(u32::MAX);
            let docs = by_file.entry(file).or_default();
            let index = docs.len() as u64;
            places.insert((file, index), (row.chunk, u32::try_from(row.index).unwrap_or(u32::MAX)));
            docs.push(Doc {
                index,
                id: row.id,
                source: 0,
                bytes: u32::try_from(row.bytes).unwrap_or(u32::MAX),
                tokens: 0,
                bands: row.bands,
            });
        }
    }
    let mut corpus = Corpus::new(Settings::default());
    for (file, docs) in by_file {
        corpus.insert(file, docs)?;
    }
    corpus.update();
    let mut left_out = LeftOut::new();
    for (place, dropped) in corpus.dropped() {
        let Some((chunk, index)) = places.get(&(place.file, place.index)) else { continue };
        let reason = match dropped.why {
            Why::Exact => Reason::Exact,
            Why::Near => Reason::Near,
        };
        left_out.entry(*chunk).or_default().push((*index, reason));
    }
    left_out.values_mut().for_each(|places| places.sort_unstable_by_key(|(index, _)| *index));
    Ok(left_out)
}

/// Hashes the documents of a chunk.
#[derive(Clone, Copy)]
struct Surveying {
    near: bool,
}

impl Work for Surveying {
    type Batch = Option<Documents>;
    type Output = InProcess<Vec<(Arc<str>, Row)>>;

    fn work(&mut self, _: At, documents: Option<Documents>) -> Result<Self::Output, Failure> {
        let Some(Documents { chunk, documents, .. }) = documents else {
            return Ok(InProcess(Vec::new()));
        };
        let row = |(index, document): (u64, DocumentRef<'_>)| {
            let id = u128::from_be_bytes(SampleId::of_text(document.text).0);
            let bands = if self.near { near::bands(document.text) } else { Vec::new() };
            let bytes = document.text.len() as u64;
            (Arc::clone(document.source), Row { chunk, index, file: 0, id, bytes, bands })
        };
        Ok(InProcess((0..).zip(documents.documents()).map(row).collect()))
    }
}

/// Collects the rows of a leg.
struct Listing {
    ctx: Arc<Context>,
    dir: PathBuf,
    checkpoints: Arc<Checkpoints>,
    state: State,
    rows: Vec<Row>,
}

impl Fold for Listing {
    type Input = InProcess<Vec<(Arc<str>, Row)>>;

    fn fold(&mut self, at: At, InProcess(rows): Self::Input) -> Result<(), Failure> {
        for (file, row) in rows {
            if self.state.files.last().is_none_or(|last| **last != *file) {
                self.state.files.push(file.to_string());
            }
            self.rows.push(Row { file: self.state.files.len() as u64 - 1, ..row });
        }
        self.ctx.progress.at(at.step.0 * u64::from(CHUNKS) + u64::from(at.shard) + 1, String::new);
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let name = format!("rows-{:05}.parquet", self.state.tables.len());
        self.state.tables.push(name.clone());
        let (rows, state) = (std::mem::take(&mut self.rows), self.state.clone());
        let (path, checkpoints) = (self.dir.join(name), Arc::clone(&self.checkpoints));
        Box::new(move || {
            let write = || -> Result<_, Error> {
                write_rows(&path, &rows)?;
                sealed_part("fold", STATE, &checkpoints.part_dir(step.0)?, &state)
            };
            Ok(vec![write().map_err(Failure::of)?])
        })
    }
}

fn write_rows(path: &Path, rows: &[Row]) -> Result<(), Error> {
    let column = |f: &dyn Fn(&Row) -> u64| Column::U64(rows.iter().map(f).collect());
    #[expect(clippy::cast_possible_truncation, reason = "its two halves")]
    let mut columns = vec![
        ("chunk".to_owned(), column(&|row| row.chunk)),
        ("index".to_owned(), column(&|row| row.index)),
        ("file".to_owned(), column(&|row| row.file)),
        ("id_high".to_owned(), column(&|row| (row.id >> 64) as u64)),
        ("id_low".to_owned(), column(&|row| row.id as u64)),
        ("bytes".to_owned(), column(&|row| row.bytes)),
    ];
    for band in 0..rows.first().map_or(0, |row| row.bands.len()) {
        columns.push((format!("band_{band:02}"), column(&|row| row.bands[band])));
    }
    Table::new(columns).write(path)?;
    Ok(())
}

fn read_rows(path: &Path) -> Result<Vec<Row>, Error> {
    let table = Table::read(path)?;
    let malformed = || Error::Malformed { path: path.to_owned(), reason: "no such column".into() };
    let column = |name: &str| match table.column(name) {
        Some(Column::U64(values)) => Ok(values),
        _ => Err(malformed()),
    };
    let bands: Vec<&Vec<u64>> =
        (0..).map_while(|band| column(&format!("band_{band:02}")).ok()).collect();
    let [chunk, index, file, high, low, bytes] =
        ["chunk", "index", "file", "id_high", "id_low", "bytes"].map(column);
    let (chunk, index, file, high, low, bytes) = (chunk?, index?, file?, high?, low?, bytes?);
    let row = |i: usize| Row {
        chunk: chunk[i],
        index: index[i],
        file: file[i],
        id: u128::from(high[i]) << 64 | u128::from(low[i]),
        bytes: bytes[i],
        bands: bands.iter().map(|band| band[i]).collect(),
    };
    Ok((0..table.num_rows()).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.parquet");
        for bands in [0, 16] {
            let row = |i: u64| Row {
                chunk: i / 3,
                index: i % 3,
                file: 1,
                id: u128::from(i) << 90 | 5,
                bytes: 7 * i,
                bands: (0..bands).map(|band| band * i).collect(),
            };
            let rows: Vec<Row> = (0..10).map(row).collect();
            write_rows(&path, &rows).unwrap();
            assert_eq!(read_rows(&path).unwrap(), rows);
        }
    }
}
