//! The counts of a source.

use serde::{Deserialize, Serialize};

/// What became of a source's documents. What was kept is what went on into tokens, to be trained on or held out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Documents that were found, empty ones included.
    pub documents: u64,
    /// Those that were kept, held out or not.
    pub kept: u64,
    /// Those that were left out because an equal one was kept.
    pub exact_duplicates: u64,
    /// Those that were left out because one nearly equal was kept.
    pub near_duplicates: u64,
    /// Those that were left out because they are blank.
    pub empty: u64,
    /// Kept documents that were longer than is allowed, and cut.
    pub too_long: u64,
    /// The bytes of the texts that were kept.
    pub bytes: u64,
    /// The tokens that were kept.
    pub tokens: u64,
    /// Kept documents that are held out.
    pub held_out_documents: u64,
    /// Their tokens.
    pub held_out_tokens: u64,
    /// Kept documents by length: place `n` counts those whose number of tokens has `n` binary digits, 2^(n-1) to 2^n - 1.
    pub length_histogram: Vec<u64>,
}

/// A document that was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// The bytes of its text.
    pub bytes: u64,
    /// Its tokens, after it was cut.
    pub tokens: u64,
    /// Whether it was cut.
    pub too_long: bool,
    /// Whether it is held out.
    pub held_out: bool,
}

impl SourceReport {
    /// Counts a document that was kept.
    pub fn count(&mut self, kept: Kept) {
        self.documents += 1;
        self.kept += 1;
        self.too_long += u64::from(kept.too_long);
        self.bytes += kept.bytes;
        self.tokens += kept.tokens;
        if kept.held_out {
            self.held_out_documents += 1;
            self.held_out_tokens += kept.tokens;
        }
        let place = (u64::BITS - kept.tokens.leading_zeros()) as usize;
        if self.length_histogram.len() <= place {
            self.length_histogram.resize(place + 1, 0);
        }
        self.length_histogram[place] += 1;
    }

    /// Counts one that was left out because an equal one was kept.
    pub fn count_exact_duplicate(&mut self) {
        self.documents += 1;
        self.exact_duplicates += 1;
    }

    /// Counts one that was left out because one nearly equal was kept.
    pub fn count_near_duplicate(&mut self) {
        self.documents += 1;
        self.near_duplicates += 1;
    }

    /// Counts blank ones.
    pub fn count_empty(&mut self, documents: u64) {
        self.documents += documents;
        self.empty += documents;
    }

    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.kept += other.kept;
        self.exact_duplicates += other.exact_duplicates;
        self.near_duplicates += other.near_duplicates;
        self.empty += other.empty;
        self.too_long += other.too_long;
        self.bytes += other.bytes;
        self.tokens += other.tokens;
        self.held_out_documents += other.held_out_documents;
        self.held_out_tokens += other.held_out_tokens;
        super::unigrams::add(&mut self.length_histogram, &other.length_histogram);
    }

    /// Bytes of text a token; none without tokens.
    pub fn bytes_per_token(&self) -> Option<f64> {
        ratio(self.bytes, self.tokens)
    }

    /// Tokens a kept document; none without documents.
    pub fn mean_length(&self) -> Option<f64> {
        ratio(self.tokens, self.kept)
    }

    /// The share of duplicates, exact and near, among the documents that were found.
    pub fn duplicate_share(&self) -> Option<f64> {
        ratio(self.exact_duplicates + self.near_duplicates, self.documents)
    }

    /// The share of the tokens that are held out.
    pub fn held_out_share(&self) -> Option<f64> {
        ratio(self.held_out_tokens, self.tokens)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    if whole == 0 { None } else { Some(part as f64 / whole as f64) }
}
