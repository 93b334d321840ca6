//! Documents into samples: which are left out, which held out, and how long ones are cut.

use std::sync::Arc;

use dataflows::roles::Work;
use dataflows::{At, Failure, InProcess};
use datasets::report::{Kept, SourceReport};
use datasets::shard::{Sample, SampleId};
use datasets::text::{Document, LongDocuments, cut};
use datasets::tokenizer::{Tokenizer, TokenizerError};

use super::Kind;
use super::read::Documents;
use super::survey::{LeftOut, Reason};
use crate::error::Error;
use crate::recipe::{self, Tokens};

/// What became of a chunk.
#[derive(Default)]
pub(super) struct Tokenised {
    /// In the order of the sources with text.
    pub(super) source: usize,
    /// The samples, in order.
    pub(super) samples: Vec<(Kind, Sample)>,
    /// What is to be told of the documents.
    pub(super) report: SourceReport,
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
        let Documents { source, chunk, documents, num_empty } = documents;
        let left_out = self.left_out.get(&chunk).map_or(&[][..], Vec::as_slice);
        let mut left_out = left_out.iter().peekable();
        let mut tokenised = Tokenised { source, ..Tokenised::default() };
        let report = &mut tokenised.report;
        report.count_empty(num_empty);
        for (index, document) in (0u32..).zip(documents) {
            match left_out.next_if(|(left_out, _)| *left_out == index) {
                Some((_, Reason::Exact)) => report.count_exact_duplicate(),
                Some((_, Reason::Near)) => report.count_near_duplicate(),
                None => {
                    let (source, at) = (Arc::clone(&document.source), document.at);
                    let sample = sample(&self.tokenizer, document).map_err(|error| {
                        Failure::of(Error::Malformed {
                            path: source.to_string().into(),
                            reason: format!("at {at}: {error}"),
                        })
                    })?;
                    if sample.tokens.is_empty() {
                        report.count_empty(1);
                        continue;
                    }
                    let is_held_out = is_held_out(sample.id, self.held_out);
                    let kind = if is_held_out { Kind::HeldOut } else { Kind::Train };
                    let too_long = sample.tokens.len() > self.longest;
                    let pieces = cut(sample, self.longest, self.long);
                    report.count(Kept {
                        bytes: pieces.iter().map(|piece| u64::from(piece.num_bytes)).sum(),
                        tokens: pieces.iter().map(|piece| piece.tokens.len() as u64).sum(),
                        too_long,
                        held_out: is_held_out,
                    });
                    tokenised.samples.extend(pieces.into_iter().map(|piece| (kind, piece)));
                }
            }
        }
        Ok(tokenised)
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
    Ok(Sample {
        id: SampleId::of_text(&text),
        source,
        tokens: tokenizer.encode(&text)?,
        num_bytes: u32::try_from(text.len()).unwrap_or(u32::MAX),
    })
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
