//! The corpus as differential collections: which documents are kept, which are dropped and why, and what
//! there is of each source. Adding or removing a file costs the difference.
//!
//! ```text
//!                          .-----------(+)-----------.
//!                          |                         v
//!  documents --> by id --> exact --(-)--> first copies --> by band --> edges --> connected --> near
//!                            |                                                                  |
//!                            '----------------------> dropped <---------------------------------'
//! ```
//!
//! # What is kept
//!
//! A place is (file, index), and places are ordered so.
//! - *Exact*: of the documents of one `id` the first place is kept; the others are dropped as its copies.
//! - *Near*: two first copies that share a band are connected; of each connected component the first place
//!   is kept, and the others are dropped as near it. A band alone connects: with 16 bands of 8 rows that
//!   is the threshold of about 0.7, and no signature is kept to look twice. A band that more than
//!   [`Settings::hot`] first copies have is boilerplate, and connects nobody.
//!
//! An exact copy names the first copy of its id, which may itself be dropped as near another.
//!
//! # Removal
//!
//! What a script gets wrong is taking documents away: the copy of a removed document comes back, and a
//! component that was connected by it falls apart. Here both follow from the collections. Nothing is
//! persisted: the base is rows by file, and the views are made again from them.
//!
//! # Cost
//!
//! A change costs what it touches: its ids, its bands, and the components these are in. Of 200,000 documents
//! of 16 bands: 1.5 s to load, 1.3 KB each, 2.5 ms to add a hundred and 2 ms to take them away. Of a million
//! without bands: 0.6 s, under 0.3 KB each, 0.2 ms and 0.1 ms. On one core, by `what_it_costs` in the tests.

mod doc;
mod error;
mod stats;
#[cfg(test)]
mod tests;
mod views;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

pub use doc::{Doc, Dropped, Place, Why};
pub use error::CorpusError;
pub use stats::{BySource, Tally};

use doc::{Node, Row};
use views::Views;

/// What connects documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A band of more first copies than this connects nobody.
    pub hot: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { hot: 10_000 }
    }
}

/// What an update changed for documents that are in the corpus after it, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Dropped now, and not before; or for another reason or another document than before.
    pub dropped: Vec<Dropped>,
    /// Dropped before, and kept now.
    pub restored: Vec<Place>,
}

/// The documents, and the views of them.
///
/// It runs in the thread that made it, and works only in [`update`](Corpus::update).
///
/// # Examples
/// ```
/// use dataflows::corpus::{Corpus, Doc, Place, Settings, Why};
///
/// let doc = |index, id| Doc { index, id, source: 0, bytes: 10, tokens: 3, bands: vec![] };
/// let mut corpus = Corpus::new(Settings::default());
/// corpus.insert(0, vec![doc(0, 7), doc(1, 8)])?;
/// corpus.insert(1, vec![doc(0, 8)])?;
/// let change = corpus.update();
/// assert_eq!(change.dropped[0].place, Place { file: 1, index: 0 });
/// assert_eq!(change.dropped[0].of, Place { file: 0, index: 1 });
/// assert_eq!(corpus.stats()[&0].exact.documents, 1);
///
/// corpus.remove(0)?;
/// assert_eq!(corpus.update().restored, [Place { file: 1, index: 0 }]);
/// # Ok::<_, dataflows::corpus::CorpusError>(())
/// ```
pub struct Corpus {
    views: Views,
    /// The load that each file is from.
    files: BTreeMap<u32, u32>,
    /// The documents of each load, in order. Those removed stay until the update that removes them.
    loads: HashMap<u32, Vec<Row>>,
    next_load: u32,
    added: Vec<u32>,
    removed: Vec<u32>,
    dropped: BTreeMap<Place, Dropped>,
    stats: BTreeMap<u16, BySource>,
}

impl Corpus {
    /// A corpus without documents.
    pub fn new(settings: Settings) -> Self {
        Corpus {
            views: Views::new(settings),
            files: BTreeMap::new(),
            loads: HashMap::new(),
            next_load: 0,
            added: vec![],
            removed: vec![],
            dropped: BTreeMap::new(),
            stats: BTreeMap::new(),
        }
    }

    /// Adds a file, as of the next update.
    ///
    /// # Errors
    /// Where the file is there, or two documents have one index. Then nothing is added.
    pub fn insert(&mut self, file: u32, mut docs: Vec<Doc>) -> Result<(), CorpusError> {
        docs.sort_by_key(|doc| doc.index);
        if u32::try_from(docs.len()).is_err() {
            return Err(CorpusError::TooMany { file, documents: docs.len() });
        }
        if let Some(two) = docs.windows(2).find(|two| two[0].index == two[1].index) {
            return Err(CorpusError::TwoAtOnePlace { file, index: two[0].index });
        }
        let load = self.next_load;
        match self.files.entry(file) {
            Entry::Occupied(_) => return Err(CorpusError::Present { file }),
            Entry::Vacant(vacant) => vacant.insert(load),
        };
        self.next_load += 1;
        let rows: Vec<Row> = docs.into_iter().map(Row::from).collect();
        for (node, row) in nodes(file, load, &rows) {
            self.views.update(node, row, 1);
        }
        self.loads.insert(load, rows);
        self.added.push(load);
        Ok(())
    }

    /// Removes a file, as of the next update.
    ///
    /// # Errors
    /// Where the file is not there.
    pub fn remove(&mut self, file: u32) -> Result<(), CorpusError> {
        let load = self.files.remove(&file).ok_or(CorpusError::Absent { file })?;
        let rows = &self.loads[&load];
        for (node, row) in nodes(file, load, rows) {
            self.views.update(node, row, -1);
        }
        match self.added.iter().position(|added| *added == load) {
            // It came and went without an update: nobody has seen it.
            Some(unseen) => drop((self.added.swap_remove(unseen), self.loads.remove(&load))),
            None => self.removed.push(load),
        }
        Ok(())
    }

    /// Brings the views up to date with all that was inserted and removed.
    pub fn update(&mut self) -> Change {
        let mut change = Change::default();
        let (gone, come) = self.views.run();
        // In this order each tally is of documents that are there, and none falls below zero.
        for load in self.added.drain(..) {
            for row in &self.loads[&load] {
                self.stats.entry(row.source).or_default().kept.add(row);
            }
        }
        for (node, (why, _)) in gone {
            let row = &self.loads[&node.load][node.row as usize];
            self.stats.entry(row.source).or_default().restore(why, row);
            let place = Place { file: node.file, index: row.index };
            self.dropped.remove(&place);
            if self.files.get(&node.file) == Some(&node.load) {
                change.restored.push(place);
            }
        }
        for load in self.removed.drain(..) {
            for row in self.loads.remove(&load).into_iter().flatten() {
                self.stats.entry(row.source).or_default().kept.subtract(&row);
            }
        }
        for (node, (why, of)) in come {
            let row = &self.loads[&node.load][node.row as usize];
            self.stats.entry(row.source).or_default().drop(why, row);
            let of = Place { file: of.file, index: self.loads[&of.load][of.row as usize].index };
            let place = Place { file: node.file, index: row.index };
            self.dropped.insert(place, Dropped { place, why, of });
            change.dropped.push(Dropped { place, why, of });
        }
        self.stats.retain(|_, source| !source.is_empty());
        // What is dropped for another reason now was not restored.
        change.restored.retain(|place| !self.dropped.contains_key(place));
        change
    }

    /// The documents that are dropped, by place, as of the last update. All others are kept.
    pub fn dropped(&self) -> &BTreeMap<Place, Dropped> {
        &self.dropped
    }

    /// What there is of each source, as of the last update.
    pub fn stats(&self) -> &BTreeMap<u16, BySource> {
        &self.stats
    }
}

/// The documents of a load, as the collections know them.
fn nodes(file: u32, load: u32, rows: &[Row]) -> impl Iterator<Item = (Node, &Row)> {
    (0..).zip(rows).map(move |(row, document)| (Node { file, row, load }, document))
}
