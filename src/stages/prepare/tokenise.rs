//! Documents into samples, and which of them are held out.

use dataflows::roles::Work;
use dataflows::{At, Failure, InProcess};
use datasets::shard::{Sample, SampleId};
use datasets::text::Document;
use datasets::tokenizer::Tokenizer;

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
        for Document { text, source, at } in documents {
            let tokens = self.tokenizer.encode(&text).map_err(|error| {
                Failure::of(Error::Malformed {
                    path: source.to_string().into(),
                    reason: format!("at {at}: {error}"),
                })
            })?;
            let id = SampleId::of_text(&text);
            let kind = if is_held_out(id, self.held_out) { Kind::HeldOut } else { Kind::Train };
            let num_bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
            samples.push((kind, Sample { id, source, tokens, num_bytes }));
        }
        samples.retain(|(_, sample)| !sample.tokens.is_empty());
        Ok(InProcess(samples))
    }
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
