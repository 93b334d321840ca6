//! Best-fit decreasing: pieces of documents into bins of one size, with little room left.
//!
//! A document longer than a bin is cut from its front into pieces of a whole bin and a rest, so that each token is in
//! exactly one piece; a document without tokens has no piece. The pieces, longest first and equal ones in their order,
//! go each into the open bin that it leaves the least room in; of several such bins, into the one that was filled last.
//! Then bins are numbered by their first piece, and the pieces of a bin lie in the order of the documents: neither says
//! anything about lengths. All is a function of the lengths.
//!
//! `O(n log n)` for the sort, then a few instructions a piece: the rooms that some bin has are a set of bits with
//! summaries above, where "the smallest at least `x`" is a walk up and down four levels.

use super::rooms::Rooms;

/// A part of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The document.
    pub document: u32,
    /// Its first token in the document.
    pub from: u32,
    /// Its length in tokens.
    pub len: u32,
}

/// Pieces by bin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bins {
    /// All pieces, those of a bin one after the other.
    pub pieces: Vec<Piece>,
    /// Bin `i` is `pieces[bounds[i]..bounds[i + 1]]`: one more than there are bins.
    pub bounds: Vec<u32>,
}

impl Bins {
    /// How many bins there are.
    pub fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces of a bin.
    ///
    /// # Panics
    /// If there is no such bin.
    pub fn get(&self, bin: usize) -> &[Piece] {
        &self.pieces[self.bounds[bin] as usize..self.bounds[bin + 1] as usize]
    }
}

/// Packs documents of these lengths into bins of `size` tokens, none if `size` is 0.
///
/// # Examples
/// ```
/// use datasets::pack::best_fit;
///
/// let bins = best_fit([3, 7, 5, 12], 10);
/// let lengths = |bin| bins.get(bin).iter().map(|piece| piece.len).collect::<Vec<_>>();
/// assert_eq!([lengths(0), lengths(1), lengths(2)], [vec![3, 7], vec![5, 2], vec![10]]);
/// ```
pub fn best_fit(lengths: impl IntoIterator<Item = u32>, size: u32) -> Bins {
    if size == 0 {
        return Bins { pieces: Vec::new(), bounds: vec![0] };
    }
    let pieces = cut(lengths, size);
    let bin_of = place(&pieces, size);
    arrange(&pieces, &bin_of)
}

fn cut(lengths: impl IntoIterator<Item = u32>, size: u32) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (document, length) in (0..).zip(lengths) {
        let mut from = 0;
        while from < length {
            let len = size.min(length - from);
            pieces.push(Piece { document, from, len });
            from += len;
        }
    }
    pieces
}

const NONE: u32 = u32::MAX;

/// The bin of each piece.
#[expect(clippy::cast_possible_truncation, reason = "pieces are numbered by u32, as documents are")]
fn place(pieces: &[Piece], size: u32) -> Vec<u32> {
    let mut longest_first: Vec<u32> = (0..pieces.len() as u32).collect();
    longest_first.sort_by_key(|piece| std::cmp::Reverse(pieces[*piece as usize].len));
    let mut rooms = Rooms::new(size as usize);
    // Bins of the same room are a list: the head by room, the next by bin.
    let mut head = vec![NONE; size as usize + 1];
    let mut next: Vec<u32> = Vec::new();
    let mut bin_of = vec![NONE; pieces.len()];
    for piece in longest_first {
        let len = pieces[piece as usize].len as usize;
        let (bin, room) = if let Some(room) = rooms.at_least(len) {
            let bin = head[room];
            head[room] = next[bin as usize];
            if head[room] == NONE {
                rooms.remove(room);
            }
            (bin, room)
        } else {
            next.push(NONE);
            (next.len() as u32 - 1, size as usize)
        };
        bin_of[piece as usize] = bin;
        let left = room - len;
        if left > 0 {
            next[bin as usize] = head[left];
            if head[left] == NONE {
                rooms.insert(left);
            }
            head[left] = bin;
        }
    }
    bin_of
}

/// Bins in the order of their first piece, pieces in theirs.
#[expect(clippy::cast_possible_truncation, reason = "there are at most as many bins as pieces")]
fn arrange(pieces: &[Piece], bin_of: &[u32]) -> Bins {
    let mut rank = vec![NONE; pieces.len()];
    let mut counts: Vec<u32> = Vec::new();
    for bin in bin_of {
        let rank = &mut rank[*bin as usize];
        if *rank == NONE {
            *rank = counts.len() as u32;
            counts.push(0);
        }
        counts[*rank as usize] += 1;
    }
    let mut bounds = vec![0];
    bounds.extend(counts.iter().scan(0, |end, count| {
        *end += count;
        Some(*end)
    }));
    let mut free = bounds.clone();
    let mut arranged = vec![Piece { document: 0, from: 0, len: 0 }; pieces.len()];
    for (piece, bin) in pieces.iter().zip(bin_of) {
        let place = &mut free[rank[*bin as usize] as usize];
        arranged[*place as usize] = *piece;
        *place += 1;
    }
    Bins { pieces: arranged, bounds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{below, stream};

    /// Best fit by looking at every bin for every piece.
    fn naively(lengths: &[u32], size: u32) -> Bins {
        let mut pieces = Vec::new();
        for (document, length) in (0..).zip(lengths) {
            for from in (0..*length).step_by(size as usize) {
                pieces.push(Piece { document, from, len: size.min(length - from) });
            }
        }
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_by_key(|i| (std::cmp::Reverse(pieces[*i].len), *i));
        // Room, when it was last filled, pieces.
        let mut bins: Vec<(u32, usize, Vec<usize>)> = Vec::new();
        for (time, piece) in order.into_iter().enumerate() {
            let len = pieces[piece].len;
            let fits = bins.iter_mut().filter(|bin| bin.0 >= len);
            match fits.min_by_key(|bin| (bin.0, std::cmp::Reverse(bin.1))) {
                Some(bin) => {
                    bin.0 -= len;
                    bin.1 = time;
                    bin.2.push(piece);
                }
                None => bins.push((size - len, time, vec![piece])),
            }
        }
        bins.iter_mut().for_each(|bin| bin.2.sort_unstable());
        bins.sort_by_key(|bin| bin.2[0]);
        let mut all = Bins { pieces: Vec::new(), bounds: vec![0] };
        for bin in bins {
            all.pieces.extend(bin.2.into_iter().map(|piece| pieces[piece]));
            all.bounds.push(u32::try_from(all.pieces.len()).unwrap());
        }
        all
    }

    #[test]
    fn bins_are_those_of_the_naive_search() {
        for (case, (n, longest, size)) in [
            (0, 1, 1),
            (50, 5, 1),
            (300, 30, 17),
            (300, 200, 64),
            (500, 300, 4097),
            (400, 9000, 4097),
        ]
        .into_iter()
        .enumerate()
        {
            let mut rng = stream(5, "best fit", 0, case as u64);
            let lengths: Vec<u32> =
                (0..n).map(|_| u32::try_from(below(&mut rng, longest + 1)).unwrap()).collect();
            let bins = best_fit(lengths.iter().copied(), size);
            assert_eq!(bins, naively(&lengths, size), "case {case}");
            assert!((0..bins.len()).all(|bin| {
                let len: u32 = bins.get(bin).iter().map(|piece| piece.len).sum();
                (1..=size).contains(&len)
            }));
            let mut pieces = bins.pieces.clone();
            pieces.sort_by_key(|piece| (piece.document, piece.from));
            assert_eq!(pieces, cut(lengths, size), "every piece once");
        }
    }

    #[test]
    fn bins_of_no_size_and_no_documents_are_none() {
        assert!(best_fit([3, 4], 0).is_empty());
        assert!(best_fit([0, 0], 5).is_empty());
    }
}
