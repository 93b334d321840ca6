//! Documents into samples: which are left out, which held out, and how long ones are cut.

use std::sync::Arc;

use dataflows::roles::Work;
use dataflows::{At, Failure, InProcess};
use datasets::report::{Kept, SourceReport, Unigrams};
use datasets::shard::{Sample, SampleId, Samples};
use datasets::text::{Document, DocumentRef, LongDocuments};
use datasets::tokenizer::{Tokenizer, TokenizerError};

use super::Kind;
use super::read::Documents;
use super::survey::{LeftOut, Reason};
use crate::error::Error;
use crate::recipe::{self, Tokens};

/// What became of a chunk.
pub(super) struct Tokenised {
    /// In the order of the sources with text.
    pub(super) source: usize,
    /// The samples of either kind, in order.
    pub(super) samples: [(Kind, Samples); 2],
    /// What is to be told of the documents.
    pub(super) report: SourceReport,
    /// How often each token is in the samples.
    pub(super) unigrams: Unigrams,
}

/// Tokenises the documents of a chunk.
#[derive(Clone)]
pub(super) struct Tokenising {
    tokenizer: Tokenizer,
    held_out: f64,
    longest: usize,
    long: LongDocuments,
    left_out: Arc<LeftOut>,
}

impl Tokenising {
    pub(super) fn new(tokenizer: &Tokenizer, tokens: &Tokens, left_out: &Arc<LeftOut>) -> Self {
        let longest = tokens.max_document_tokens.and_then(|tokens| usize::try_from(tokens).ok());
        Self {
            tokenizer: tokenizer.clone(),
            held_out: tokens.held_out,
            longest: longest.unwrap_or(usize::MAX),
            long: match tokens.long_documents {
                recipe::LongDocuments::Split => LongDocuments::Split,
                recipe::LongDocuments::Truncate => LongDocuments::Truncate,
            },
            left_out: Arc::clone(left_out),
        }
    }

    fn documents(&self, documents: Documents) -> Result<Tokenised, Failure> {
        let Documents { source, chunk, documents } = documents;
        let left_out = self.left_out.get(&chunk).map_or(&[][..], Vec::as_slice);
        let mut left_out = left_out.iter().peekable();
        let samples = || Samples::new(Arc::clone(&documents.source));
        let (mut train, mut held_out) = (samples(), samples());
        let mut report = SourceReport::default();
        report.count_empty(documents.num_empty);
        for (index, document) in (0u32..).zip(documents.documents()) {
            match left_out.next_if(|(left_out, _)| *left_out == index) {
                Some((_, Reason::Exact)) => report.count_exact_duplicate(),
                Some((_, Reason::Near)) => report.count_near_duplicate(),
                None => {
                    let id = SampleId::of_text(document.text);
                    let is_held_out = is_held_out(id, self.held_out);
                    let samples = if is_held_out { &mut held_out } else { &mut train };
                    match self.document(id, document, samples)? {
                        Some(kept) => report.count(Kept { held_out: is_held_out, ..kept }),
                        None => report.count_empty(1),
                    }
                }
            }
        }
        let mut unigrams = Unigrams::default();
        unigrams.count(train.tokens());
        unigrams.count(held_out.tokens());
        let samples = [(Kind::Train, train), (Kind::HeldOut, held_out)];
        Ok(Tokenised { source, samples, report, unigrams })
    }

    /// Adds a document to samples; none if it has no token.
    fn document(
        &self,
        id: SampleId,
        document: DocumentRef<'_>,
        samples: &mut Samples,
    ) -> Result<Option<Kept>, Failure> {
        let DocumentRef { text, source, at } = document;
        let tokens = samples
            .push_with(id, num_bytes(text), |to| self.tokenizer.encode_onto(text, to))
            .map_err(|error| {
                let (path, reason) = (source.to_string().into(), format!("at {at}: {error}"));
                Failure::of(Error::Malformed { path, reason })
            })?;
        if tokens == 0 {
            return Ok(None);
        }
        let too_long = tokens > self.longest;
        let (tokens, bytes) = samples.cut_last(self.longest, self.long);
        let (tokens, bytes) = (tokens as u64, u64::from(bytes));
        Ok(Some(Kept { tokens, bytes, too_long, held_out: false }))
    }
}

impl Work for Tokenising {
    type Batch = Option<Documents>;
    type Output = InProcess<Option<Tokenised>>;

    fn work(&mut self, _: At, documents: Option<Documents>) -> Result<Self::Output, Failure> {
        Ok(InProcess(documents.map(|documents| self.documents(documents)).transpose()?))
    }
}

/// A document, tokenised.
///
/// # Errors
/// [`TokenizerError`] if it cannot be.
pub fn sample(tokenizer: &Tokenizer, document: Document) -> Result<Sample, TokenizerError> {
    let Document { text, source, .. } = document;
    let (id, num_bytes) = (SampleId::of_text(&text), num_bytes(&text));
    Ok(Sample { id, source, tokens: tokenizer.encode(&text)?, num_bytes })
}

fn num_bytes(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// Whether the first 64 bits of the id, as a fraction, lie below `share`: the same for a document wherever it is.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn is_held_out(id: SampleId, share: f64) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) as f64) < share * 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_asked_share_is_held_out_and_always_the_same_documents() {
        let held = |share: f64| {
            (0..2000).filter(|i| is_held_out(SampleId::of_text(&i.to_string()), share)).count()
        };
        assert_eq!((held(0.0), held(1.0)), (0, 2000));
        assert!((70..130).contains(&held(0.05)), "{}", held(0.05));
    }
}
