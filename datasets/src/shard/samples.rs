//! Many samples of one source, in one list of tokens.

use std::convert::Infallible;
use std::sync::Arc;

use super::{Sample, SampleId};
use crate::text::{LongDocuments, pieces};

/// Samples as they come of a chunk of text: to hold them costs no list each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    source: Arc<str>,
    rows: Vec<Row>,
    tokens: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    id: SampleId,
    num_tokens: usize,
    num_bytes: u32,
}

/// A sample, where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRef<'a> {
    /// Its name.
    pub id: SampleId,
    /// Where its text came from.
    pub source: &'a str,
    /// Its tokens.
    pub tokens: &'a [u32],
    /// The length of its text in UTF-8.
    pub num_bytes: u32,
}

impl<'a> From<&'a Sample> for SampleRef<'a> {
    fn from(sample: &'a Sample) -> Self {
        let Sample { id, source, tokens, num_bytes } = sample;
        Self { id: *id, source, tokens, num_bytes: *num_bytes }
    }
}

impl Samples {
    /// None yet, of a source.
    pub fn new(source: Arc<str>) -> Self {
        Self { source, rows: Vec::new(), tokens: Vec::new() }
    }

    /// Adds a sample of what `encode` appends to the tokens, if that is anything, and gives how many.
    ///
    /// # Errors
    /// What `encode` returns.
    pub fn push_with<E>(
        &mut self,
        id: SampleId,
        num_bytes: u32,
        encode: impl FnOnce(&mut Vec<u32>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let start = self.tokens.len();
        if let Err(error) = encode(&mut self.tokens) {
            self.tokens.truncate(start);
            return Err(error);
        }
        let num_tokens = self.tokens.len().saturating_sub(start);
        if num_tokens > 0 {
            self.rows.push(Row { id, num_tokens, num_bytes });
        }
        Ok(num_tokens)
    }

    /// Adds a sample that has tokens.
    pub fn push(&mut self, sample: SampleRef<'_>) {
        let SampleRef { id, tokens, num_bytes, .. } = sample;
        let Ok(_) = self.push_with(id, num_bytes, |to| {
            to.extend_from_slice(tokens);
            Ok::<_, Infallible>(())
        });
    }

    /// Makes of the last sample several, or its start, as [`cut`](crate::text::cut) does. Gives the tokens and the bytes
    /// that are left of it.
    pub fn cut_last(&mut self, max_tokens: usize, long: LongDocuments) -> (usize, u32) {
        let Some(Row { id, num_tokens, num_bytes }) = self.rows.pop() else {
            return (0, 0);
        };
        let start = self.tokens.len() - num_tokens;
        let (mut tokens, mut bytes) = (0, 0);
        for (id, num_tokens, num_bytes) in pieces(id, num_tokens, num_bytes, max_tokens, long) {
            self.rows.push(Row { id, num_tokens, num_bytes });
            (tokens, bytes) = (tokens + num_tokens, bytes + num_bytes);
        }
        self.tokens.truncate(start + tokens);
        (tokens, bytes)
    }

    /// The samples, in order.
    pub fn iter(&self) -> impl Iterator<Item = SampleRef<'_>> {
        let mut rest = &*self.tokens;
        self.rows.iter().map(move |Row { id, num_tokens, num_bytes }| {
            let tokens;
            (tokens, rest) = rest.split_at(*num_tokens);
            SampleRef { id: *id, source: &self.source, tokens, num_bytes: *num_bytes }
        })
    }

    /// The tokens of all.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::cut;

    #[test]
    fn samples_in_one_list_are_cut_as_samples_by_themselves_are() {
        for long in [LongDocuments::Keep, LongDocuments::Truncate, LongDocuments::Split] {
            for most in [0, 1, 4, 7, usize::MAX] {
                let mut together = Samples::new("x".into());
                let mut alone = Vec::new();
                for length in [3, 4, 1, 5, 29, 28] {
                    let tokens: Vec<u32> = (0..length).collect();
                    let id = SampleId::of_tokens(&tokens);
                    let sample = Sample { id, source: "x".into(), tokens, num_bytes: length * 3 };
                    together.push((&sample).into());
                    let left = together.cut_last(most, long);
                    let pieces = cut(sample, most, long);
                    let tokens: usize = pieces.iter().map(|piece| piece.tokens.len()).sum();
                    let bytes: u32 = pieces.iter().map(|piece| piece.num_bytes).sum();
                    assert_eq!(left, (tokens, bytes));
                    alone.extend(pieces);
                }
                assert!(together.iter().eq(alone.iter().map(SampleRef::from)));
                assert_eq!(
                    together.tokens().len(),
                    alone.iter().map(|s| s.tokens.len()).sum::<usize>()
                );
            }
        }
    }
}
