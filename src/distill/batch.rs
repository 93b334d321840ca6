//! A micro-batch: packed sequences, and the label of each position.

use datasets::loader::Sequence;
use kernels::attention::Documents;
use kernels::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

/// `batch` sequences of `seq + 1` tokens: position `i` predicts token `i + 1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Sequences.
    pub batch: usize,
    /// Positions of a sequence.
    pub seq: usize,
    /// `[batch][seq + 1]`, flat.
    pub tokens: Vec<u32>,
    /// `[batch][seq]`, flat: where the document of a position begins. Empty if documents see one another.
    pub first: Vec<u32>,
    /// The positions of `[batch][seq]` that predict nothing, ascending: before another document, and padding.
    pub unlabelled: Vec<u32>,
}

impl Batch {
    /// Of sequences of one length. With `apart`, a document does not see the ones it is packed with.
    ///
    /// # Panics
    ///
    /// If there is none, or the lengths differ.
    #[must_use]
    pub fn new(sequences: &[Sequence], apart: bool) -> Self {
        let length = sequences[0].tokens.len();
        assert!(sequences.iter().all(|s| s.tokens.len() == length), "sequences have one length");
        let (batch, seq) = (sequences.len(), length - 1);
        let mut tokens = Vec::with_capacity(batch * length);
        let (mut first, mut unlabelled) = (Vec::new(), Vec::new());
        for (row, sequence) in (0u32..).zip(sequences) {
            tokens.extend_from_slice(&sequence.tokens);
            let positions = u32::try_from(seq).expect("a sequence's tokens are counted in 32 bits");
            let mut starts = sequence.starts.iter().copied().peekable();
            let mut begin = 0;
            for position in 0..positions {
                begin = starts.next_if_eq(&position).unwrap_or(begin);
                let is_last = apart && starts.peek() == Some(&(position + 1));
                if is_last || position + 1 >= sequence.len {
                    unlabelled.push(row * positions + position);
                }
                if apart {
                    first.push(begin);
                }
            }
        }
        Self { batch, seq, tokens, first, unlabelled }
    }

    /// Of rows of tokens, each of one document.
    ///
    /// # Panics
    ///
    /// If there is none, or the lengths differ.
    #[must_use]
    pub fn of_tokens(rows: &[Vec<u32>]) -> Self {
        let length = rows[0].len();
        assert!(rows.iter().all(|row| row.len() == length), "sequences have one length");
        Self { batch: rows.len(), seq: length - 1, tokens: rows.concat(), ..Self::default() }
    }

    /// Positions that are predicted.
    #[must_use]
    pub fn num_tokens(&self) -> u64 {
        (self.batch * self.seq - self.unlabelled.len()) as u64
    }

    /// What attention must know of the documents.
    #[must_use]
    pub fn documents(&self) -> Option<Documents> {
        (!self.first.is_empty()).then(|| Documents { first: self.first.clone() })
    }

    /// `[batch, seq]`.
    #[must_use]
    pub fn inputs(&self, device: &Device) -> Tensor<2, Int> {
        let rows = self.tokens.chunks(self.seq + 1).flat_map(|row| &row[..self.seq]);
        let ids: Vec<i64> = rows.map(|id| i64::from(*id)).collect();
        Tensor::<1, Int>::from_ints(ids.as_slice(), device).reshape([self.batch, self.seq])
    }

    /// `[batch * seq]`, −1 where nothing is predicted.
    #[must_use]
    pub fn labels(&self, device: &Device) -> Tensor<1, Int> {
        let rows = self.tokens.chunks(self.seq + 1).flat_map(|row| &row[1..]);
        let mut ids: Vec<i64> = rows.map(|id| i64::from(*id)).collect();
        self.unlabelled.iter().for_each(|position| ids[*position as usize] = -1);
        Tensor::from_ints(ids.as_slice(), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_predicts_neither_the_next_one_nor_padding() {
        let sequence = Sequence {
            tokens: vec![5, 6, 1, 7, 8, 1, 0],
            starts: vec![0, 3],
            len: 6,
            ..Sequence::default()
        };
        let batch = Batch::new(&[sequence.clone(), sequence], true);
        assert_eq!(batch.first, [0, 0, 0, 3, 3, 3].repeat(2));
        assert_eq!(batch.unlabelled, [2, 5, 8, 11]);
        assert_eq!(batch.num_tokens(), 8);
        let open = Batch::new(
            &[Sequence {
                starts: vec![0, 3],
                len: 6,
                ..Sequence { tokens: vec![5, 6, 1, 7, 8, 1, 0], ..Sequence::default() }
            }],
            false,
        );
        assert_eq!((open.first.len(), open.unlabelled), (0, vec![5]));
    }
}
