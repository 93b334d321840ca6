//! A place in the text of a compressed file, and the text around it.
//!
//! A [`Cursor`] holds a window of the text: what a chunk's first document needs to be found (a byte, or a line's blank
//! end: see [`split::look_back`]), the chunk, and what its last document reaches beyond it. Chunks that are read in
//! order cost one pass.

use std::io::Read;
use std::ops::Range;

use super::codec::{Codec, Counted, Decoder};
use super::files::Found;
use super::frames::Frames;
use super::{Split, TextError, split};

/// How far a chunk is read beyond its end at first. Most documents end within.
const AHEAD: u64 = 64 << 10;
/// How far before a chunk the reading starts, so that a line's start is seen.
const BEHIND: u64 = 4 << 10;
/// The longest text that is held at once.
const MOST: usize = 256 << 20;

pub(super) struct Cursor {
    codec: Codec,
    decoder: Decoder,
    /// Where the window starts in the text.
    base: u64,
    window: Vec<u8>,
    /// Whether the window reaches to the end of the text.
    ended: bool,
    pub(super) most: usize,
}

impl Cursor {
    /// Starts at the last frame that is early enough to read from `at` on, or at the first.
    pub(super) fn open(
        file: &Found,
        codec: Codec,
        frames: &Frames,
        at: u64,
        by: &Split,
    ) -> Result<Self, TextError> {
        let behind = match by {
            Split::Delimiter(delimiter) => BEHIND.max(delimiter.len() as u64),
            _ => BEHIND,
        };
        let (mut place, mut text) = frames.before(at.saturating_sub(behind));
        if text <= frames.mark {
            (place, text) = (0, 0);
        }
        let start = Counted::open(&file.path, file.bytes, place)?;
        let decoder = Decoder::new(codec, start).map_err(|e| codec.bad(&file.path, place, e))?;
        let mut cursor =
            Self { codec, decoder, base: text, window: Vec::new(), ended: false, most: MOST };
        if text == 0 {
            cursor.fill_to(file, frames.mark)?;
            cursor.window.clear();
            cursor.base = frames.mark;
        }
        Ok(cursor)
    }

    /// Where the window ends in the text.
    pub(super) fn end(&self) -> u64 {
        self.base + self.window.len() as u64
    }

    /// Whether what is needed to read from `at` on has not been passed.
    pub(super) fn reaches(&self, frames: &Frames, at: u64, by: &Split) -> bool {
        let at = at.max(frames.mark);
        self.end() < at || self.look_back(frames, at, by).is_some()
    }

    /// Where in the window the text starts that is needed to read from `at` on.
    fn look_back(&self, frames: &Frames, at: u64, by: &Split) -> Option<usize> {
        let place = usize::try_from(at.checked_sub(self.base)?).ok()?;
        split::look_back(self.window.get(..place)?, self.base == frames.mark, by)
    }

    /// The documents that start in a range of the text: their places in [`text`](Self::text). None is blank.
    ///
    /// The cursor must [reach](Self::reaches) the range's start; `None` if that turns out to be wrong, because a line
    /// starts before the frame and is blank so far.
    pub(super) fn read(
        &mut self,
        file: &Found,
        frames: &Frames,
        range: &Range<u64>,
        by: &Split,
    ) -> Result<Option<Vec<Range<usize>>>, TextError> {
        let range = range.start.max(frames.mark)..range.end.max(frames.mark);
        while self.end() < range.start && !self.ended {
            self.forget(frames, self.end(), by);
            self.fill_to(file, range.start.min(self.end() + AHEAD))?;
        }
        if self.look_back(frames, range.start, by).is_none() {
            return Ok(None);
        }
        self.forget(frames, range.start, by);
        let mut ahead = AHEAD;
        loop {
            // At the text's end one byte more is asked for: the checksum behind it is looked at only then.
            self.fill_to(file, range.end.saturating_add(ahead).min(frames.text_bytes + 1))?;
            if self.ended && self.end() != frames.text_bytes || self.end() > frames.text_bytes {
                let (expected, found) = (frames.text_bytes, self.end());
                return Err(TextError::Changed { path: file.path.clone(), expected, found });
            }
            // The window starts at or before the range, and is not longer than memory.
            let place = |at: u64| usize::try_from(at - self.base).unwrap_or(usize::MAX);
            let range = place(range.start)..place(range.end);
            if let Some(found) = split::whole(&self.window, self.ended, range, by) {
                return Ok(Some(found));
            }
            ahead = ahead.saturating_mul(2);
        }
    }

    /// The window.
    pub(super) fn text(&self) -> &[u8] {
        &self.window
    }

    /// The place in the text of a place in the window.
    pub(super) fn place(&self, at: usize) -> u64 {
        self.base + at as u64
    }

    /// Forgets what is not needed to read from `at` on.
    pub(super) fn forget(&mut self, frames: &Frames, at: u64, by: &Split) {
        if let Some(from) = self.look_back(frames, at, by) {
            self.window.drain(..from);
            self.base += from as u64;
        }
    }

    fn fill_to(&mut self, file: &Found, end: u64) -> Result<(), TextError> {
        let missing = end.saturating_sub(self.end());
        if missing == 0 || self.ended {
            return Ok(());
        }
        if missing.saturating_add(self.window.len() as u64) > self.most as u64 {
            return Err(TextError::TooLong {
                path: file.path.clone(),
                offset: self.base,
                most: self.most as u64,
            });
        }
        match self.decoder.by_ref().take(missing).read_to_end(&mut self.window) {
            Ok(read) => self.ended = (read as u64) < missing,
            Err(source) => return Err(self.codec.bad(&file.path, self.decoder.at(), source)),
        }
        Ok(())
    }
}
