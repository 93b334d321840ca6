//! Levels as they are stored: runs of one value, and stretches of packed bits.
//!
//! ```text
//! run        varint(length << 1)      value in one byte
//! stretch    varint(groups << 1 | 1)  8 values a group, each of `width` bits, lowest first
//! ```
//!
//! Most tokens follow a token of the same list, so a page of a million levels is some thousand runs: nothing is
//! expanded, which is what makes other readers slow (`reference/data.md`, finding 1).

use super::PageFault;

/// Reads levels of one or two bits as runs.
pub(in crate::shard) struct Runs<'a> {
    bytes: &'a [u8],
    width: u32,
    /// How many levels were not yet given out.
    left: u64,
    /// The bit where a stretch goes on, and how many levels it still has.
    stretch: (usize, u64),
}

impl<'a> Runs<'a> {
    /// `levels` levels from 0 to `max`, which is at most 3.
    pub(in crate::shard) fn new(bytes: &'a [u8], max: u32, levels: u64) -> Self {
        let width = if max > 1 { 2 } else { 1 };
        Self { bytes, width, left: levels, stretch: (0, 0) }
    }

    /// The next run: its value, and how often it comes. Never more than were asked for, and never none.
    pub(in crate::shard) fn next(&mut self) -> Result<(u32, u64), PageFault> {
        if self.left == 0 {
            return Err(wrong("there are fewer than values"));
        }
        if self.stretch.1 > 0 {
            return Ok(self.of_stretch());
        }
        let head = self.varint()?;
        let count = head >> 1;
        if count == 0 {
            return Err(wrong("a run is empty"));
        }
        if head & 1 == 1 {
            let levels = count.saturating_mul(8).min(self.left);
            let bytes = (levels * u64::from(self.width)).div_ceil(8);
            if bytes > self.bytes.len() as u64 {
                return Err(wrong("they end early"));
            }
            self.stretch = (0, levels);
            return Ok(self.of_stretch());
        }
        let (value, rest) = self.bytes.split_first().ok_or_else(|| wrong("they end early"))?;
        self.bytes = rest;
        if u32::from(*value) >> self.width != 0 {
            return Err(wrong("one is too large"));
        }
        let count = count.min(self.left);
        self.left -= count;
        Ok((u32::from(*value), count))
    }

    /// Equal levels of a stretch. All of its bytes are there.
    fn of_stretch(&mut self) -> (u32, u64) {
        let (bit, levels) = self.stretch;
        let mut word = [0; 8];
        let bytes = &self.bytes[bit / 8..];
        let there = bytes.len().min(8);
        word[..there].copy_from_slice(&bytes[..there]);
        let shift = u32::try_from(bit % 8).expect("a remainder of 8");
        let word = u64::from_le_bytes(word) >> shift;
        let value = word & ((1 << self.width) - 1);
        // The value in every place of a word: what differs from it ends the run.
        let same = value * if self.width == 1 { u64::MAX } else { u64::MAX / 3 };
        let valid = (64 - shift) / self.width;
        let count = u64::from((word ^ same).trailing_zeros() / self.width).min(u64::from(valid));
        let count = count.min(levels);
        let bit = bit + usize::try_from(count).expect("at most 64") * self.width as usize;
        self.left -= count;
        self.stretch = (bit, levels - count);
        if self.stretch.1 == 0 {
            // The bits that fill the last group are passed over with it.
            let groups = bit.div_ceil(8 * self.width as usize);
            let end = (groups * self.width as usize).min(self.bytes.len());
            self.bytes = &self.bytes[end..];
        }
        (u32::try_from(value).expect("two bits"), count)
    }

    fn varint(&mut self) -> Result<u64, PageFault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.bytes.split_first().ok_or_else(|| wrong("they end early"))?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(wrong("a number has too many bytes"))
    }
}

fn wrong(what: &'static str) -> PageFault {
    PageFault::Levels { what }
}
