//! A decoded window: the row groups that are shuffled together, and the order inside.

use super::stream::{Layout, Stream};
use super::{LoadError, Sequence};
use crate::TokenLists;
use crate::pack::{Method, Piece, best_fit};

/// The documents of a window. Its memory is used again for the next.
#[derive(Debug, Default)]
pub(super) struct Window {
    lists: TokenLists,
    /// Rows, or bins, in the order they come in.
    order: Vec<u32>,
    /// Where each of `order` begins in the window's tokens, and the end; of rows only.
    starts: Vec<u32>,
    pieces: Vec<Piece>,
    /// Bin `i` is `pieces[bins[i]..bins[i + 1]]`.
    bins: Vec<u32>,
}

impl Window {
    /// Reads and orders the window of an epoch, over what was here before.
    pub(super) fn load(
        &mut self,
        stream: &Stream,
        epoch: u64,
        window: usize,
    ) -> Result<(), LoadError> {
        self.clear();
        let plan = stream.epoch(epoch);
        let groups = plan.order.window(window);
        let sizes = stream.groups.sizes();
        let sum = |of: &dyn Fn(usize) -> u64| {
            let sum: u64 = groups.iter().map(|group| of(*group as usize)).sum();
            usize::try_from(sum).expect("`open` checks the largest window")
        };
        reserve(&mut self.lists.tokens, sum(&|group| sizes[group].tokens));
        let bounds = sum(&|group| sizes[group].rows) + 1;
        reserve(&mut self.lists.bounds, bounds);
        self.lists.bounds.push(0);
        for group in groups {
            self.read(stream, *group as usize)?;
        }
        let units = match stream.layout.method {
            Method::Concat => self.lists.len(),
            Method::BestFit => self.bins.len() - 1,
        };
        let units = u32::try_from(units).expect("`open` checks the largest window");
        reserve(&mut self.order, units as usize);
        self.order.extend(stream.order.inside(epoch, window, units));
        if stream.layout.method == Method::Concat {
            self.lay_out(&stream.layout);
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.lists.tokens.clear();
        self.lists.bounds.clear();
        self.order.clear();
        self.starts.clear();
        self.pieces.clear();
        self.bins.clear();
        self.bins.push(0);
    }

    fn read(&mut self, stream: &Stream, group: usize) -> Result<(), LoadError> {
        let (rows, tokens) = (self.lists.len(), self.lists.tokens.len());
        let name = || stream.name.clone();
        stream
            .groups
            .read(group, &mut self.lists)
            .map_err(|source| LoadError::read(&stream.name, group, source))?;
        let size = stream.groups.sizes()[group];
        let found = [self.lists.len() - rows, self.lists.tokens.len() - tokens];
        let expected = [("rows", size.rows), ("tokens", size.tokens)];
        for ((what, expected), found) in expected.into_iter().zip(found) {
            if found as u64 != expected {
                let found = found as u64;
                return Err(LoadError::Changed { name: name(), group, what, expected, found });
            }
        }
        if stream.layout.method == Method::BestFit {
            self.pack(stream, group, rows)?;
        }
        Ok(())
    }

    /// The first token that is no id, as an error.
    pub(super) fn no_id(&self, stream: &Stream, groups: &[u32]) -> Option<LoadError> {
        let vocab_size = stream.layout.vocab_size;
        let at = self.lists.tokens.iter().position(|token| *token >= vocab_size)?;
        let mut row = self.lists.bounds.partition_point(|bound| *bound as usize <= at) - 1;
        let position = at - self.lists.bounds[row] as usize;
        let rows = |group: usize| usize::try_from(stream.groups.sizes()[group].rows).ok();
        let mut groups = groups.iter().map(|group| *group as usize);
        let group = groups.find(|group| match row.checked_sub(rows(*group).unwrap_or(0)) {
            Some(rest) => {
                row = rest;
                false
            }
            None => true,
        })?;
        let (name, token) = (stream.name.clone(), self.lists.tokens[at]);
        Some(LoadError::TokenTooLarge { name, group, row, position, token, vocab_size })
    }

    /// Packs the rows from `first` on, which are a row group.
    #[expect(clippy::cast_possible_truncation, reason = "`open` checks the largest window")]
    fn pack(&mut self, stream: &Stream, group: usize, first: usize) -> Result<(), LoadError> {
        let Layout { seq_tokens, around, .. } = stream.layout;
        let lengths = self.lists.bounds[first..].windows(2).map(|pair| pair[1] - pair[0] + around);
        let packed = best_fit(lengths, seq_tokens + 1);
        if packed.len() as u64 != stream.units[group] {
            let (expected, found) = (stream.units[group], packed.len() as u64);
            let name = stream.name.clone();
            return Err(LoadError::Changed { name, group, what: "bins", expected, found });
        }
        let (row, piece) = (first as u32, self.pieces.len() as u32);
        self.pieces.reserve_exact(packed.pieces.len());
        self.bins.reserve_exact(packed.len());
        let moved = packed.pieces.iter().map(|one| Piece { document: one.document + row, ..*one });
        self.pieces.extend(moved);
        self.bins.extend(packed.bounds[1..].iter().map(|bound| bound + piece));
        Ok(())
    }

    fn lay_out(&mut self, layout: &Layout) {
        reserve(&mut self.starts, self.order.len() + 1);
        let bounds = &self.lists.bounds;
        let mut start = 0;
        self.starts.push(0);
        self.starts.extend(self.order.iter().map(|row| {
            start += bounds[*row as usize + 1] - bounds[*row as usize] + layout.around;
            start
        }));
    }

    /// Appends the window's tokens from `from` on, until the sequence is full or the window at its end.
    #[expect(clippy::cast_possible_truncation, reason = "sequences are shorter than 2^32")]
    pub(super) fn copy(&self, layout: &Layout, from: u32, out: &mut Sequence) {
        let full = layout.seq_tokens as usize + 1;
        let mut place = self.starts.partition_point(|start| *start <= from) - 1;
        let mut skip = (from - self.starts[place]) as usize;
        while out.tokens.len() < full && place < self.order.len() {
            let length = (self.starts[place + 1] - self.starts[place]) as usize;
            if length > 0 && (skip == 0 || out.tokens.is_empty()) {
                out.starts.push(out.tokens.len() as u32);
                self.piece(layout, self.order[place], skip, out);
            }
            self.prefetch(self.order.get(place + 2).copied());
            let take = (length - skip).min(full - out.tokens.len());
            self.append(layout, self.order[place], skip, take, &mut out.tokens);
            (place, skip) = (place + 1, 0);
        }
    }

    /// Appends the bin that comes at `index`.
    #[expect(clippy::cast_possible_truncation, reason = "sequences are shorter than 2^32")]
    pub(super) fn copy_bin(&self, layout: &Layout, index: usize, out: &mut Sequence) {
        let bin = self.order[index] as usize;
        let pieces = &self.pieces[self.bins[bin] as usize..self.bins[bin + 1] as usize];
        for (i, piece) in pieces.iter().enumerate() {
            self.prefetch(pieces.get(i + 2).map(|piece| piece.document));
            out.starts.push(out.tokens.len() as u32);
            let (from, take) = (piece.from as usize, piece.len as usize);
            self.piece(layout, piece.document, from, out);
            self.append(layout, piece.document, from, take, &mut out.tokens);
        }
    }

    /// Says which document a piece is of, if that is asked.
    #[expect(clippy::cast_possible_truncation, reason = "`open` checks the largest window")]
    fn piece(&self, layout: &Layout, row: u32, from: usize, out: &mut Sequence) {
        let Some(pieces) = &mut out.pieces else { return };
        let lists = &mut pieces.documents;
        let whole = self.lists.get(row as usize).len() + layout.around as usize;
        self.append(layout, row, 0, whole, &mut lists.tokens);
        lists.bounds.push(lists.tokens.len() as u32);
        pieces.from.push(from as u32);
    }

    /// Appends `take` tokens of a document, from `from` on. The tokens around it count.
    #[inline]
    fn append(&self, layout: &Layout, row: u32, from: usize, take: usize, out: &mut Vec<u32>) {
        let text = self.lists.get(row as usize);
        let (mut from, mut take) = (from, take);
        if let Some(bos) = layout.bos {
            if from > 0 {
                from -= 1;
            } else if take > 0 {
                out.push(bos);
                take -= 1;
            }
        }
        let of_text = take.min(text.len() - from);
        out.extend_from_slice(&text[from..from + of_text]);
        if take > of_text
            && let Some(eos) = layout.eos
        {
            out.push(eos);
        }
    }

    /// Begins to fetch a row that will be copied: rows come from all over the window, and waiting for them would be a
    /// third of the time of short ones. Of a long one the first lines: after those the processor has seen the pattern.
    #[inline]
    fn prefetch(&self, row: Option<u32>) {
        let Some(row) = row.map(|row| row as usize) else { return };
        let (begin, end) = (self.lists.bounds[row] as usize, self.lists.bounds[row + 1] as usize);
        for line in self.lists.tokens[begin..end].chunks(16).take(8) {
            prefetch_line(line);
        }
    }

    /// The memory that it holds.
    pub(super) fn bytes(&self) -> u64 {
        let numbers = self.lists.tokens.capacity()
            + self.lists.bounds.capacity()
            + self.order.capacity()
            + self.starts.capacity()
            + self.bins.capacity()
            + 3 * self.pieces.capacity();
        4 * numbers as u64
    }

    /// The memory of a window of so many tokens and rows, its packing included.
    pub(super) fn bytes_of(layout: &Layout, tokens: u64, rows: u64) -> u64 {
        match layout.method {
            Method::Concat => 4 * (tokens + 3 * rows + 8),
            // Pieces, and the bounds and order of as many bins; as much again while a row group is packed.
            Method::BestFit => {
                let pieces = rows + tokens / (u64::from(layout.seq_tokens) + 1);
                4 * (tokens + rows + 8) + 4 * 16 * pieces + 5 * (u64::from(layout.seq_tokens) + 2)
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "an instruction that only hints, for measured speed")]
#[inline]
fn prefetch_line(line: &[u32]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 processor has the instruction, and it changes nothing that a program can see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch_line(_line: &[u32]) {}

/// Room for exactly `n` in an empty vector. What is too small is freed first.
fn reserve(vector: &mut Vec<u32>, n: usize) {
    if vector.capacity() < n {
        *vector = Vec::new();
        vector.reserve_exact(n);
    }
}
