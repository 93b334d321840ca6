//! Near-duplicates: signatures of documents.
//!
//! A document is the set of its **shingles**: each five words that follow one another, in lower case (letter by
//! letter), whatever white space (Unicode's) was between them. A document of fewer words is one shingle, all of it.
//! Punctuation counts: it is cheap to be strict here, as one changed comma touches only five shingles.
//!
//! | what | how |
//! |---|---|
//! | likeness | Jaccard: the shingles that two documents share, of those that either has |
//! | [`Signature`] | 128 numbers; each is equal in two documents with the probability of their likeness |
//! | [`Signature::bands`] | 16 keys, each of 8 numbers: documents of a key in common are candidates |
//!
//! Two documents of likeness `s` have a key in common with probability `1 - (1 - s^8)^16`: a half near
//! [`threshold`] = (1/16)^(1/8) = 0.71, 0.06 at 0.5, 0.99995 at 0.9.
//!
//! Signatures are made as in "Fast Similarity Sketching" (Dahlgaard, Knudsen, Thorup, 2017): every shingle is thrown into
//! one of 128 bins, a bin keeps the smallest, and only while there are empty bins the shingles are thrown once more.
//! That is one hash a shingle for all but short documents, where 128 permutations take 128, and as exact as they are.
//! Hashes are XXH3 and the mixer of SplitMix64, with fixed seeds: a signature is a function of the text alone, on any
//! machine.

mod signature;
mod words;

pub use signature::{BANDS, ROWS, SIZE, Signature, threshold};
pub use words::WORDS;

/// The keys of a text: documents of a key in common are candidates. See [`Signature::bands`].
pub fn bands(text: &str) -> Vec<u64> {
    Signature::of(text).bands().to_vec()
}

/// How alike the documents of two signatures are: the share of numbers that are equal. Its standard deviation is at
/// most `sqrt(s (1 - s) / 128)`, 0.044 or less.
pub fn estimate(a: &Signature, b: &Signature) -> f64 {
    a.estimate(b)
}

#[cfg(test)]
mod tests;
