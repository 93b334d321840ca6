//! What is known of a corpus: documents, tokens, lengths, duplicates, by source.
//!
//! Reports hold only counts, so those of parts add up to that of the whole, in any order, exactly; shares, means and
//! entropies are computed when they are asked for.

mod source;
mod table;
mod unigrams;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
pub use source::{Kept, SourceReport};
pub use unigrams::Unigrams;

/// The counts of a corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusReport {
    /// By source.
    pub sources: BTreeMap<String, SourceReport>,
    /// How often each id is in the documents that were kept.
    #[serde(default, skip_serializing_if = "Unigrams::is_empty")]
    pub unigrams: Unigrams,
}

impl CorpusReport {
    /// The report of a source, a new one if there is none.
    pub fn source(&mut self, name: &str) -> &mut SourceReport {
        if !self.sources.contains_key(name) {
            self.sources.insert(name.to_owned(), SourceReport::default());
        }
        self.sources.entry(name.to_owned()).or_default()
    }

    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Self) {
        for (name, report) in &other.sources {
            self.source(name).add(report);
        }
        self.unigrams.add(&other.unigrams);
    }

    /// All sources together.
    pub fn total(&self) -> SourceReport {
        let mut total = SourceReport::default();
        self.sources.values().for_each(|report| total.add(report));
        total
    }

    /// The share of a source in the tokens of all.
    pub fn share(&self, name: &str) -> Option<f64> {
        let (part, all) = (self.sources.get(name)?.tokens, self.total().tokens);
        if all == 0 { None } else { Some(part as f64 / all as f64) }
    }

    /// Tables for people: the sources, and the lengths of documents.
    pub fn text(&self) -> String {
        table::sources(self) + "\n" + &table::lengths(self)
    }
}

#[cfg(test)]
mod tests;
