//! Documents into samples, and which of them are held out.

use std::sync::Arc;

use dataflows::roles::Work;
use dataflows::{At, Failure, InProcess};
use datasets::shard::{Sample, SampleId};
use datasets::text::Document;
use datasets::tokenizer::{Tokenizer, TokenizerError};

use super::Kind;
use crate::error::Error;

/// Tokenises the documents of a chunk.
pub(super) struct Tokenising {
    pub(super) tokenizer: Tokenizer,
    /// `tokens.held_out`.
    pub(super) held_out: f64,
}

impl Work for Tokenising {
    type Batch = Vec<Document>;
    type Output = InProcess<Vec<(Kind, Sample)>>;

    fn work(&mut self, _: At, documents: Vec<Document>) -> Result<Self::Output, Failure> {
        let mut samples = Vec::with_capacity(documents.len());
        for document in documents {
            let (source, at) = (Arc::clone(&document.source), document.at);
            let sample = sample(&self.tokenizer, document).map_err(|error| {
                Failure::of(Error::Malformed {
                    path: source.to_string().into(),
                    reason: format!("at {at}: {error}"),
                })
            })?;
            let is_held_out = is_held_out(sample.id, self.held_out);
            samples.push((if is_held_out { Kind::HeldOut } else { Kind::Train }, sample));
        }
        samples.retain(|(_, sample)| !sample.tokens.is_empty());
        Ok(InProcess(samples))
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
