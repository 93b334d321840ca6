//! What a cache has of the documents of packed sequences, as the loss takes it.
//!
//! A document's positions are looked up by its content, wherever it lies in a sequence and however much of it does.
//! The last token of a document has no distribution, since nothing follows in it: what a sequence predicts from there
//! belongs to another document, and is neither taught nor scored.
//!
//! Values come rounded out of a cache, so that the cells of a position, the words and the rest, have a mass of nearly one;
//! they are scaled to one, all alike. What is drawn keeps its weights: they are one in expectation.

use datasets::loader::Pieces;
use datasets::logits::{LogitError, Names, Scored};
use datasets::shard::SampleId;
use kernels::loss::{NO_WORD, Rest, Sparse};

use crate::distill::Batch;

/// Where samples' distributions come from.
pub trait Lessons {
    /// What the teacher thinks of a sample: its name, and its tokens.
    ///
    /// # Errors
    /// If it is not known, and cannot be found out.
    fn of(&mut self, id: SampleId, tokens: &[u32]) -> Result<Scored, LogitError>;
}

/// What the loss takes for a micro-batch, of whose sequences `pieces` says the documents; positions of which nothing is
/// known become unlabelled.
///
/// # Errors
/// What `lessons` says of the first document that is not known.
///
/// # Panics
///
/// If the pieces are of other sequences.
pub fn sparse(
    lessons: &mut impl Lessons,
    names: &Names,
    batch: &mut Batch,
    pieces: &[(Vec<u32>, Pieces)],
    treatment: Rest,
) -> Result<Sparse, LogitError> {
    assert_eq!(pieces.len(), batch.batch, "each sequence has its pieces");
    let seq = batch.seq;
    // Of each position its entries: a sample, and a position of it.
    let mut places: Vec<Option<(usize, usize)>> = vec![None; batch.batch * seq];
    let mut scored: Vec<Scored> = Vec::new();
    for (row, (starts, pieces)) in pieces.iter().enumerate() {
        let places = &mut places[row * seq..(row + 1) * seq];
        for (piece, start) in starts.iter().map(|start| *start as usize).enumerate() {
            let document = pieces.documents.get(piece);
            let (from, positions) = (pieces.from[piece] as usize, document.len().saturating_sub(1));
            let next = starts.get(piece + 1).map_or(seq, |next| (*next as usize).min(seq));
            // What is predicted lies in the sequence, too.
            let known = next.saturating_sub(start).min(positions.saturating_sub(from));
            if known == 0 {
                continue;
            }
            scored.push(lessons.of(names.of(document), document)?);
            for (i, place) in places[start..start + known].iter_mut().enumerate() {
                *place = Some((scored.len() - 1, from + i));
            }
        }
    }
    let entries = |place: &Option<(usize, usize)>| {
        place.map_or(1, |(sample, position)| scored[sample].entries(position).0.len())
    };
    let k = places.iter().map(entries).max().unwrap_or(1);
    let mut sparse = Sparse {
        k,
        ids: Vec::with_capacity(k * places.len()),
        log_probs: Vec::with_capacity(k * places.len()),
        rest: Vec::with_capacity(places.len()),
        temperature: 1.0,
        treatment,
    };
    let mut unlabelled = Vec::new();
    let mut before = batch.unlabelled.iter().copied().peekable();
    for (token, place) in (0u32..).zip(&places) {
        let was = before.next_if_eq(&token).is_some();
        if was || place.is_none() {
            unlabelled.push(token);
        }
        // Where nothing is known there stands a certain word, which nobody looks at.
        let (ids, log_probs, rest) = match place {
            Some((sample, position)) => {
                let (ids, log_probs) = scored[*sample].entries(*position);
                (ids, log_probs, scored[*sample].tail[*position])
            }
            None => (&[0][..], &[0.0][..], f32::NEG_INFINITY),
        };
        let log_mass = if treatment == Rest::Ghost { log_mass(log_probs, rest) } else { 0.0 };
        sparse.ids.extend_from_slice(ids);
        sparse.log_probs.extend(log_probs.iter().map(|log| log - log_mass));
        sparse.ids.resize((token as usize + 1) * k, NO_WORD);
        sparse.log_probs.resize((token as usize + 1) * k, f32::NEG_INFINITY);
        sparse.rest.push(rest - log_mass);
    }
    batch.unlabelled = unlabelled;
    Ok(sparse)
}

/// ln of the mass of all cells.
#[expect(clippy::cast_possible_truncation, reason = "the logarithm of nearly one")]
fn log_mass(log_probs: &[f32], rest: f32) -> f32 {
    let words: f64 = log_probs.iter().map(|log| f64::from(*log).exp()).sum();
    (words + f64::from(rest).exp()).ln() as f32
}

#[cfg(test)]
mod tests {
    use datasets::TokenLists;
    use datasets::loader::Sequence;
    use datasets::logits::Profile;
    use kernels::device::choose;
    use kernels::loss::{Objective, Teacher};

    use super::*;
    use crate::eval::losses::lesson;
    use crate::logits::fixture::{config, identity};
    use crate::logits::{Asked, Scorer};
    use crate::model::Decoder;
    use crate::weights::initialise;

    /// Asks the teacher about a sample alone, and rounds nothing.
    struct Asking(Scorer);

    impl Lessons for Asking {
        fn of(&mut self, id: SampleId, tokens: &[u32]) -> Result<Scored, LogitError> {
            let asked = Asked { id, source: "a".into(), tokens: tokens.to_vec() };
            Ok(self.0.score(vec![asked]).remove(0))
        }
    }

    fn decoder(seed: u64) -> Decoder {
        let device = choose("cpu".parse().unwrap()).unwrap().device;
        let mut decoder = initialise(&config(), seed, &device);
        // As sure of itself as a model that learnt something.
        decoder.parameters.embed_tokens = decoder.parameters.embed_tokens * 40.0;
        decoder.parameters.lm_head = decoder.parameters.lm_head.map(|head| head * 40.0);
        decoder
    }

    /// Three documents in a sequence of 12 positions, the first going on from its fourth token, and padding.
    fn sequence() -> (Sequence, Pieces) {
        let documents: [Vec<u32>; 3] =
            [(0..8).map(|i| i * 5 % 40).collect(), vec![9, 8, 7], vec![3, 1, 2]];
        let mut lists = TokenLists::default();
        for document in &documents {
            lists.tokens.extend(document);
            lists.bounds.push(u32::try_from(lists.tokens.len()).unwrap());
        }
        let mut tokens = [&documents[0][3..], &documents[1], &documents[2]].concat();
        tokens.resize(13, 0);
        let sequence = Sequence { tokens, starts: vec![0, 5, 8], len: 11, ..Sequence::default() };
        (sequence, Pieces { documents: lists, from: vec![3, 0, 0] })
    }

    #[test]
    fn positions_are_those_of_the_document_and_what_follows_it_is_not_taught() {
        let (sequence, pieces) = sequence();
        let mut batch = Batch::new(std::slice::from_ref(&sequence), false);
        assert_eq!(batch.unlabelled, [10, 11]);
        let scorer = Scorer { teacher: decoder(1), vocab_size: 40, profile: Profile::top(4) };
        let mut asking = Asking(scorer);
        let pieces = [(sequence.starts.clone(), pieces)];
        let names = identity().names();
        let found = sparse(&mut asking, &names, &mut batch, &pieces, Rest::Ghost).unwrap();
        assert_eq!(batch.unlabelled, [4, 7, 10, 11]);
        assert_eq!((found.k, found.tokens(), found.ids.len()), (4, 12, 48));
        let document = pieces[0].1.documents.get(0);
        let whole = asking.of(names.of(document), document).unwrap();
        assert_eq!(found.ids[..4], *whole.entries(3).0, "the fourth token's");
    }

    #[test]
    fn the_loss_of_all_words_is_that_of_the_live_teacher() {
        let (teacher, student) = (decoder(1), decoder(2));
        let (mut sequence, mut pieces) = sequence();
        // Whole documents: what a live teacher sees of one that goes on is less than it.
        pieces.documents.tokens.drain(..3);
        pieces.documents.bounds.iter_mut().skip(1).for_each(|bound| *bound -= 3);
        pieces.from[0] = 0;
        sequence.len = 11;
        let mut batch = Batch::new(std::slice::from_ref(&sequence), true);
        let live = lesson(&teacher, &batch);
        let scorer = Scorer { teacher, vocab_size: 40, profile: Profile::exact(40) };
        let pieces = [(sequence.starts.clone(), pieces)];
        let names = identity().names();
        let before = batch.unlabelled.clone();
        let found = sparse(&mut Asking(scorer), &names, &mut batch, &pieces, Rest::Ghost).unwrap();
        assert_eq!(batch.unlabelled, before);
        let (ids, documents) = (batch.inputs(&student.device()), batch.documents());
        let labels = batch.labels(&student.device());
        let loss = |teacher: &Teacher| {
            let objective = Objective::mixed(1.0, 1.0, 0.5);
            student.loss(&ids, documents.as_ref(), &labels, Some(teacher), &objective)
        };
        let (cached, online) = (loss(&Teacher::Sparse(found)), loss(&live));
        assert_eq!((cached.tokens, cached.agreed), (online.tokens, online.agreed));
        for (found, expected) in [
            (cached.forward_kl, online.forward_kl),
            (cached.cross_entropy, online.cross_entropy),
            (cached.teacher_cross_entropy, online.teacher_cross_entropy),
        ] {
            assert!((found - expected).abs() < 1e-5 * expected.abs(), "{found} for {expected}");
        }
        assert!(online.forward_kl > 0.1, "{}", online.forward_kl);
    }
}
