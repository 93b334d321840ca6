//! A column chunk of token lists, decoded on runs of levels.
//!
//! What the definition level of an entry says, where the list's own level is `list` (1, and one more if the list may
//! be null) and an item's is `item` (`list`, and one more if an item may be null):
//!
//! ```text
//! below list − 1   the list is null        not decoded here
//! list − 1         the list is empty
//! list .. item     an item is null         not decoded here
//! item             there is a value
//! ```
//!
//! A repetition level of 0 begins a list, 1 goes on with it.

use std::iter;

use super::page::{Chunk, Data, Fault, PageFault, Runs, Scratch, encoding};
use crate::TokenLists;

/// How many tokens are decoded at once: they fit in the first cache.
const BLOCK: usize = 8 << 10;

/// The definition levels of a column of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Levels {
    /// The level from which on a list has something in it.
    pub(super) list: u32,
    /// The level of a value.
    pub(super) item: u32,
}

/// What became of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its lists were appended; this is the largest token, 0 if there is none.
    Done { max_id: u32 },
    /// It is of a layout that is not decoded here; nothing was appended.
    Other,
}

/// Appends the lists of a chunk of 32-bit integers.
pub(super) fn read(
    chunk: Chunk<'_>,
    levels: Levels,
    scratch: &mut Scratch,
    out: &mut TokenLists,
) -> Result<Outcome, Fault> {
    let before = (out.tokens.len(), out.bounds.len());
    let outcome = Decoder::new(levels, chunk, out).and_then(|mut decoder| {
        let done = decoder.chunk(chunk, scratch)?;
        Ok(if done { decoder.finish()? } else { Outcome::Other })
    });
    if !matches!(outcome, Ok(Outcome::Done { .. })) {
        out.tokens.truncate(before.0);
        // The last bound was taken away; it is where the lists before ended.
        out.bounds.truncate(before.1 - 1);
        out.bounds.push(u32::try_from(before.0).expect("it was a bound before"));
    }
    outcome
}

struct Decoder<'o> {
    levels: Levels,
    chunk: (u64, u64),
    out: &'o mut TokenLists,
    /// Where the chunk's lists begin in `out.bounds`.
    first: usize,
    /// Whether a list can be gone on with.
    open: bool,
    max_id: u32,
    arch: pulp::Arch,
}

impl<'o> Decoder<'o> {
    fn new(levels: Levels, chunk: Chunk<'_>, out: &'o mut TokenLists) -> Result<Self, Fault> {
        // While it decodes, a list's start is pushed when it begins; its end is the next one's start.
        out.bounds.pop();
        let (before, first) = (out.tokens.len() as u64, out.bounds.len());
        let limit = u64::from(u32::MAX).saturating_sub(before);
        if chunk.num_values > limit {
            let what = "the number of values";
            let fault = PageFault::TooLarge { what, limit, found: chunk.num_values };
            return Err(Fault { offset: chunk.offset, fault });
        }
        let arch = pulp::Arch::new();
        let chunk = (chunk.offset, chunk.num_rows);
        Ok(Self { levels, chunk, out, first, open: false, max_id: 0, arch })
    }

    fn chunk(&mut self, chunk: Chunk<'_>, scratch: &mut Scratch) -> Result<bool, Fault> {
        // What is stored plain is 4 bytes a token, whatever the footer says.
        let values = chunk.num_values.min(chunk.uncompressed / 4).min(chunk.bytes.len() as u64);
        self.out.tokens.reserve(usize::try_from(values).unwrap_or(0));
        let mut pages = chunk.pages();
        while let Some(page) = pages.next()? {
            if page.is_skipped() {
                continue;
            }
            let fail = |fault| Fault { offset: page.offset, fault };
            let Some(data) = page.data(chunk.codec, scratch).map_err(fail)? else {
                return Ok(false);
            };
            if !matches!(data.encoding, encoding::PLAIN | encoding::BYTE_STREAM_SPLIT) {
                return Ok(false);
            }
            let Some(values) = self.lists(&data).map_err(fail)? else { return Ok(false) };
            let (what, expected, found) = ("the size of the values", values * 4, data.values.len());
            if expected != found as u64 {
                return Err(fail(PageFault::Count { what, expected, found: found as u64 }));
            }
            let page_max = if data.encoding == encoding::PLAIN {
                plain(self.arch, data.values, &mut self.out.tokens)
            } else {
                byte_stream_split(self.arch, data.values, &mut self.out.tokens)
            };
            self.max_id = self.max_id.max(page_max);
        }
        Ok(true)
    }

    /// The starts of the lists of a page, and how many values it has; nothing if there is a null.
    fn lists(&mut self, data: &Data<'_>) -> Result<Option<u64>, PageFault> {
        let wrong = |what| PageFault::Levels { what };
        let start = u32::try_from(self.out.tokens.len()).expect("checked with the chunk's values");
        let mut rep = Runs::new(data.rep, 1, data.num_values);
        let mut def = Runs::new(data.def, self.levels.item, data.num_values);
        let ((mut begins, mut reps), (mut level, mut defs)) = ((0, 0), (0, 0));
        let (mut done, mut values) = (0, 0);
        while done < data.num_values {
            if reps == 0 {
                (begins, reps) = rep.next()?;
            }
            if defs == 0 {
                (level, defs) = def.next()?;
            }
            let count = reps.min(defs);
            let at = start + u32::try_from(values).expect("no more than the chunk's values");
            let n = u32::try_from(count).expect("no more than the chunk's values");
            if begins == 0 {
                let found = (self.out.bounds.len() - self.first) as u64 + count;
                if found > self.chunk.1 {
                    let (what, limit) = ("the number of lists", self.chunk.1);
                    return Err(PageFault::TooLarge { what, limit, found });
                }
            } else if !self.open {
                return Err(wrong("a list goes on that did not begin"));
            }
            if level == self.levels.item {
                if begins == 0 {
                    self.out.bounds.extend(at..at + n);
                }
                (values, self.open) = (values + count, true);
            } else if level == self.levels.list - 1 {
                if begins != 0 {
                    return Err(wrong("an empty list goes on"));
                }
                self.out.bounds.extend(iter::repeat_n(at, n as usize));
                self.open = false;
            } else if level > self.levels.item {
                return Err(wrong("one is too large"));
            } else {
                return Ok(None);
            }
            (reps, defs, done) = (reps - count, defs - count, done + count);
        }
        Ok(Some(values))
    }

    fn finish(self) -> Result<Outcome, Fault> {
        let (offset, expected) = self.chunk;
        let found = (self.out.bounds.len() - self.first) as u64;
        if found != expected {
            let fault = PageFault::Count { what: "the number of lists", expected, found };
            return Err(Fault { offset, fault });
        }
        let end = u32::try_from(self.out.tokens.len()).expect("checked with the chunk's values");
        self.out.bounds.push(end);
        Ok(Outcome::Done { max_id: self.max_id })
    }
}

/// Appends tokens of 4 bytes each, and finds the largest.
fn plain(arch: pulp::Arch, bytes: &[u8], out: &mut Vec<u32>) -> u32 {
    let mut max = 0;
    for block in bytes.as_chunks().0.chunks(BLOCK) {
        let at = out.len();
        // Zeros first: they stay in the cache, and cost less than 5 % of the copy.
        out.resize(at + block.len(), 0);
        let out = &mut out[at..];
        let block_max = arch.dispatch(
            #[inline(always)]
            || {
                let mut max = 0;
                for (out, bytes) in iter::zip(out, block) {
                    *out = u32::from_le_bytes(*bytes);
                    max = max.max(*out);
                }
                max
            },
        );
        max = max.max(block_max);
    }
    max
}

/// Appends tokens of which all first bytes come first, then all second ones, and finds the largest.
fn byte_stream_split(arch: pulp::Arch, bytes: &[u8], out: &mut Vec<u32>) -> u32 {
    let n = bytes.len() / 4;
    let (a, rest) = bytes.split_at(n);
    let (b, rest) = rest.split_at(n);
    let (c, d) = rest.split_at(n);
    let mut max = 0;
    for from in (0..n).step_by(BLOCK) {
        let range = from..n.min(from + BLOCK);
        let at = out.len();
        out.resize(at + range.len(), 0);
        let out = &mut out[at..];
        let (a, b) = (&a[range.clone()], &b[range.clone()]);
        let (c, d) = (&c[range.clone()], &d[range]);
        let block_max = arch.dispatch(
            #[inline(always)]
            || {
                let mut max = 0;
                let (low, high) = (iter::zip(a, b), iter::zip(c, d));
                for (out, ((a, b), (c, d))) in iter::zip(out, iter::zip(low, high)) {
                    *out = u32::from_le_bytes([*a, *b, *c, *d]);
                    max = max.max(*out);
                }
                max
            },
        );
        max = max.max(block_max);
    }
    max
}
