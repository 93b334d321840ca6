//! What a loader gives.

use crate::TokenLists;

/// A packed row of tokens. Its memory is used again by the next [`fill`](super::Loader::fill).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    /// `seq_tokens + 1` tokens: inputs are all but the last, labels all but the first. After `len` it is padded.
    pub tokens: Vec<u32>,
    /// Where documents begin, ascending; the first is 0, which may go on with a document of the sequence before. One at
    /// `seq_tokens` is a document of which only the first token is here, as a label.
    pub starts: Vec<u32>,
    /// How many of `tokens` are of documents.
    pub len: u32,
    /// The epoch of its source.
    pub epoch: u64,
    /// The source, in the order they were given in.
    pub source: u16,
    /// The documents that it is made of; filled only where there is something to fill.
    pub pieces: Option<Pieces>,
}

/// Which documents a sequence is made of: a piece for each of its starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    /// The documents, whole, with the tokens around them, whatever of them the sequence has.
    pub documents: TokenLists,
    /// Which token of its document each piece begins with.
    pub from: Vec<u32>,
}

impl Pieces {
    pub(super) fn clear(&mut self) {
        self.documents.clear();
        self.from.clear();
    }
}

impl Sequence {
    /// Where documents begin and end among the inputs, as variable-length attention takes it: from 0 to the number of
    /// inputs. Padding is a document of its own.
    pub fn cu_seqlens(&self, out: &mut Vec<u32>) {
        let inputs = self.num_inputs();
        out.clear();
        out.extend(self.starts.iter().copied().take_while(|start| *start < inputs));
        out.extend(Some(self.len).filter(|len| *len < inputs));
        out.push(inputs);
    }

    /// The position of each input in its document, as far as it is in this sequence: from 0 at each beginning.
    pub fn position_ids(&self, out: &mut Vec<u32>) {
        out.clear();
        self.segments(|_, length| out.extend(0..length));
    }

    /// The number of each input's document in this sequence, from 0: attention stays inside equal ones.
    pub fn document_ids(&self, out: &mut Vec<u32>) {
        out.clear();
        self.segments(|document, length| out.extend((0..length).map(|_| document)));
    }

    /// Whether each label is a token of the same document as its input: neither padding nor the first token of another.
    pub fn label_mask(&self, out: &mut Vec<bool>) {
        out.clear();
        out.extend((1..=self.num_inputs()).map(|label| label < self.len));
        for start in self.starts.iter().filter(|start| **start > 0) {
            if let Some(label) = out.get_mut(*start as usize - 1) {
                *label = false;
            }
        }
    }

    fn segments(&self, mut each: impl FnMut(u32, u32)) {
        let inputs = self.num_inputs();
        let ends = self.starts.iter().skip(1).chain([&self.len, &inputs]);
        let (mut document, mut begin) = (0, 0);
        for end in ends.map(|end| (*end).min(inputs)) {
            if end > begin {
                each(document, end - begin);
                (document, begin) = (document + 1, end);
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a loader's sequences are shorter than 2^32"
    )]
    fn num_inputs(&self) -> u32 {
        self.tokens.len().saturating_sub(1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(sequence: &Sequence) -> (Vec<u32>, Vec<u32>, Vec<u32>, Vec<bool>) {
        let (mut cu, mut positions, mut documents, mut mask) = Default::default();
        sequence.cu_seqlens(&mut cu);
        sequence.position_ids(&mut positions);
        sequence.document_ids(&mut documents);
        sequence.label_mask(&mut mask);
        (cu, positions, documents, mask)
    }

    #[test]
    fn what_attention_needs_follows_from_the_starts() {
        let full =
            Sequence { tokens: vec![7; 9], starts: vec![0, 3, 4, 8], len: 9, ..Default::default() };
        let (cu, positions, documents, mask) = derived(&full);
        assert_eq!(cu, [0, 3, 4, 8]);
        assert_eq!(positions, [0, 1, 2, 0, 0, 1, 2, 3]);
        assert_eq!(documents, [0, 0, 0, 1, 2, 2, 2, 2]);
        assert_eq!(mask, [true, true, false, false, true, true, true, false]);
        let padded =
            Sequence { tokens: vec![7; 9], starts: vec![0, 2], len: 5, ..Default::default() };
        let (cu, positions, documents, mask) = derived(&padded);
        assert_eq!(cu, [0, 2, 5, 8]);
        assert_eq!(positions, [0, 1, 0, 1, 2, 0, 1, 2]);
        assert_eq!(documents, [0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(mask, [true, false, true, true, false, false, false, false]);
        let one = Sequence { tokens: vec![7; 3], starts: vec![0], len: 3, ..Default::default() };
        assert_eq!(derived(&one), (vec![0, 2], vec![0, 1], vec![0, 0], vec![true, true]));
        let just_inputs = Sequence { len: 2, ..one };
        assert_eq!(derived(&just_inputs), (vec![0, 2], vec![0, 1], vec![0, 0], vec![true, false]));
        assert_eq!(derived(&Sequence::default()).0, [0]);
    }
}
