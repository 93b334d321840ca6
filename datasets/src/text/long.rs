//! Documents that are longer than a model can use.

use serde::{Deserialize, Serialize};

use crate::shard::{Sample, SampleId};
use crate::store::Hasher;

/// What becomes of a document of too many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongDocuments {
    /// It stays as it is: packing cuts it where sequences end.
    #[default]
    Keep,
    /// Its end is left out.
    Truncate,
    /// It becomes several, each but the last as long as is allowed.
    Split,
}

/// A sample as samples of at most `max_tokens` tokens (of at least one, whatever is asked).
///
/// The first keeps the name, so that it is known whose it is; a further one's is the first half of the BLAKE3 digest of
/// the name and its number (8 bytes, least first). Bytes of text are shared out in proportion to tokens: those of the
/// samples of a document that was split add up to its own.
pub fn cut(sample: Sample, max_tokens: usize, long: LongDocuments) -> Vec<Sample> {
    let Sample { id, source, tokens, num_bytes } = sample;
    let mut rest = &*tokens;
    let piece = |(id, num_tokens, num_bytes)| {
        let tokens: &[u32];
        (tokens, rest) = rest.split_at(num_tokens);
        Sample { id, source: source.clone(), tokens: tokens.to_vec(), num_bytes }
    };
    pieces(id, tokens.len(), num_bytes, max_tokens, long).map(piece).collect()
}

/// What becomes of a sample: the names of its pieces, and how many of its tokens and bytes they have, in order.
pub(crate) fn pieces(
    id: SampleId,
    all: usize,
    num_bytes: u32,
    max_tokens: usize,
    long: LongDocuments,
) -> impl Iterator<Item = (SampleId, usize, u32)> {
    let most = if long == LongDocuments::Keep { all } else { max_tokens }.max(1);
    let bytes_before = move |tokens: usize| {
        let bytes = u128::from(num_bytes) * tokens as u128 / all.max(1) as u128;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    };
    let piece = move |n: usize| {
        let (start, end) = (n * most, all.min((n + 1).saturating_mul(most)));
        let id = if n == 0 { id } else { further(id, n as u64) };
        // A sample that is whole has its bytes, also if it has no token.
        let bytes = if all <= most { num_bytes } else { bytes_before(end) - bytes_before(start) };
        (id, end - start, bytes)
    };
    let count = if long == LongDocuments::Truncate { 1 } else { all.div_ceil(most).max(1) };
    (0..count).map(piece)
}

fn further(id: SampleId, number: u64) -> SampleId {
    let mut hasher = Hasher::new();
    hasher.update(&id.0).update(&number.to_le_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.digest().as_bytes()[..16]);
    SampleId(half)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sample(tokens: u32, num_bytes: u32) -> Sample {
        let tokens: Vec<u32> = (0..tokens).collect();
        Sample { id: SampleId::of_tokens(&tokens), source: "x".into(), tokens, num_bytes }
    }

    #[test]
    fn a_document_that_was_split_is_all_there_and_one_that_was_truncated_is_its_start() {
        for (tokens, bytes, most) in [
            (0, 0, 4),
            (3, 17, 4),
            (4, 17, 4),
            (5, 17, 4),
            (8, u32::MAX, 4),
            (1000, 4321, 7),
            (9, 0, 1),
            (5, 9, 0),
        ] {
            let whole = sample(tokens, bytes);
            assert_eq!(cut(whole.clone(), most, LongDocuments::Keep), std::slice::from_ref(&whole));
            let pieces = cut(whole.clone(), most, LongDocuments::Split);
            let length = most.max(1);
            assert_eq!(pieces.len(), (tokens as usize).div_ceil(length).max(1));
            assert!(pieces.iter().all(|piece| piece.tokens.len() <= length));
            let joined: Vec<u32> = pieces.iter().flat_map(|piece| piece.tokens.clone()).collect();
            assert_eq!(joined, whole.tokens);
            let all: u64 = pieces.iter().map(|piece| u64::from(piece.num_bytes)).sum();
            assert_eq!(all, u64::from(bytes));
            let ids: BTreeSet<SampleId> = pieces.iter().map(|piece| piece.id).collect();
            assert_eq!(ids.len(), pieces.len(), "no two have one name");
            assert_eq!(pieces[0].id, whole.id);
            assert_eq!(cut(whole, most, LongDocuments::Truncate), pieces[..1]);
        }
    }
}
