//! The header of a page: a Thrift struct in the compact protocol.
//!
//! Only what locates and decodes a page is kept. What is not known is skipped, as Thrift wants it.

use super::PageFault;

/// What kind of page it is, with what only that kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Levels and values, compressed together. Whether both kinds of levels are run-length encoded.
    Data { rle_levels: bool },
    /// Repetition levels, definition levels, and values of which only these may be compressed.
    DataV2 { rep_bytes: usize, def_bytes: usize, compressed: bool },
    /// The values of a dictionary.
    Dictionary,
    /// An index, or a kind from the future: readers skip it.
    Other,
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) stored_bytes: usize,
    pub(super) bytes: usize,
    pub(super) checksum: Option<u32>,
    pub(super) num_values: u32,
    pub(super) encoding: i32,
}

/// Encodings by their number in the format.
pub(in crate::shard) mod encoding {
    pub(in crate::shard) const PLAIN: i32 = 0;
    pub(in crate::shard) const RLE: i32 = 3;
    pub(in crate::shard) const BYTE_STREAM_SPLIT: i32 = 9;
}

/// Reads the header at the start of `bytes`, and says how long it is.
pub(super) fn read(bytes: &[u8]) -> Result<(Header, usize), PageFault> {
    let mut thrift = Thrift { bytes, at: 0 };
    let header = header(&mut thrift)?;
    Ok((header, thrift.at))
}

fn header(thrift: &mut Thrift<'_>) -> Result<Header, PageFault> {
    let (mut page_type, mut bytes, mut stored_bytes, mut checksum) = (None, None, None, None);
    let (mut v1, mut v2, mut dictionary) = (None, None, None);
    thrift.fields(0, |thrift, id, kind| {
        match (id, kind) {
            (1, I32) => page_type = Some(thrift.i32()?),
            (2, I32) => bytes = Some(thrift.size()?),
            (3, I32) => stored_bytes = Some(thrift.size()?),
            (4, I32) => checksum = Some(thrift.i32()?.cast_unsigned()),
            (5, STRUCT) => v1 = Some(data(thrift)?),
            (7, STRUCT) => dictionary = Some(data(thrift)?),
            (8, STRUCT) => v2 = Some(data_v2(thrift)?),
            (1..=5 | 7 | 8, _) => return Err(wrong("a field has another type")),
            _ => thrift.skip(kind, 0)?,
        }
        Ok(())
    })?;
    let missing = || wrong("a field is missing");
    let (kind, num_values, encoding) = match page_type.ok_or_else(missing)? {
        0 => v1.map(|(n, encoding, rle_levels)| (Kind::Data { rle_levels }, n, encoding)),
        2 => dictionary.map(|(n, encoding, _)| (Kind::Dictionary, n, encoding)),
        3 => v2,
        _ => Some((Kind::Other, 0, 0)),
    }
    .ok_or_else(missing)?;
    let (bytes, stored_bytes) = (bytes.ok_or_else(missing)?, stored_bytes.ok_or_else(missing)?);
    Ok(Header { kind, stored_bytes, bytes, checksum, num_values, encoding })
}

/// A header of data, version 1, or of a dictionary, which begins with the same fields.
fn data(thrift: &mut Thrift<'_>) -> Result<(u32, i32, bool), PageFault> {
    let (mut num_values, mut encoding, mut levels) = (None, None, [encoding::RLE; 2]);
    thrift.fields(1, |thrift, id, kind| {
        match (id, kind) {
            (1, I32) => num_values = Some(thrift.count()?),
            (2, I32) => encoding = Some(thrift.i32()?),
            // A dictionary's third field is a flag.
            (3, I32) => levels[0] = thrift.i32()?,
            (4, I32) => levels[1] = thrift.i32()?,
            (1 | 2, _) => return Err(wrong("a field has another type")),
            _ => thrift.skip(kind, 0)?,
        }
        Ok(())
    })?;
    match (num_values, encoding) {
        (Some(n), Some(encoding)) => Ok((n, encoding, levels == [encoding::RLE; 2])),
        _ => Err(wrong("a field is missing")),
    }
}

fn data_v2(thrift: &mut Thrift<'_>) -> Result<(Kind, u32, i32), PageFault> {
    let (mut num_values, mut encoding, mut compressed) = (None, None, true);
    let (mut def_bytes, mut rep_bytes) = (None, None);
    thrift.fields(1, |thrift, id, kind| {
        match (id, kind) {
            (1, I32) => num_values = Some(thrift.count()?),
            (4, I32) => encoding = Some(thrift.i32()?),
            (5, I32) => def_bytes = Some(thrift.size()?),
            (6, I32) => rep_bytes = Some(thrift.size()?),
            (7, TRUE | FALSE) => compressed = kind == TRUE,
            (1 | 4..=7, _) => return Err(wrong("a field has another type")),
            _ => thrift.skip(kind, 0)?,
        }
        Ok(())
    })?;
    match (num_values, encoding, rep_bytes, def_bytes) {
        (Some(n), Some(encoding), Some(rep_bytes), Some(def_bytes)) => {
            Ok((Kind::DataV2 { rep_bytes, def_bytes, compressed }, n, encoding))
        }
        _ => Err(wrong("a field is missing")),
    }
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const STRUCT: u8 = 12;
/// How deep structs may nest: a header's statistics are three deep.
const DEPTH: usize = 8;

fn wrong(what: &'static str) -> PageFault {
    PageFault::Header { what }
}

struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Result<u8, PageFault> {
        let byte = self.bytes.get(self.at).ok_or_else(|| wrong("it ends early"))?;
        self.at += 1;
        Ok(*byte)
    }

    fn varint(&mut self) -> Result<u64, PageFault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(wrong("a number has too many bytes"))
    }

    fn i32(&mut self) -> Result<i32, PageFault> {
        let value = self.varint()?;
        let value = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
        value.try_into().map_err(|_| wrong("a number has more than 32 bits"))
    }

    fn count(&mut self) -> Result<u32, PageFault> {
        self.i32()?.try_into().map_err(|_| wrong("a count is negative"))
    }

    fn size(&mut self) -> Result<usize, PageFault> {
        self.i32()?.try_into().map_err(|_| wrong("a size is negative"))
    }

    /// Calls `each` with every field's id and type; it reads the field or skips it.
    fn fields(
        &mut self,
        depth: usize,
        mut each: impl FnMut(&mut Self, i16, u8) -> Result<(), PageFault>,
    ) -> Result<(), PageFault> {
        if depth > DEPTH {
            return Err(wrong("structs nest too deep"));
        }
        let mut last: i16 = 0;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Ok(());
            }
            let id = match byte >> 4 {
                0 => self.i32()?.try_into().ok(),
                delta => last.checked_add(i16::from(delta)),
            };
            last = id.ok_or_else(|| wrong("a field has no such id"))?;
            each(self, last, byte & 0xf)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), PageFault> {
        match kind {
            TRUE | FALSE => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.advance(8),
            8 => {
                let length = self.varint()?;
                self.advance(length)
            }
            9 | 10 => self.skip_list(depth),
            STRUCT => self.fields(depth + 1, |thrift, _, kind| thrift.skip(kind, depth + 1)),
            // A header has no map.
            _ => Err(wrong("a field has an unknown type")),
        }
    }

    fn skip_list(&mut self, depth: usize) -> Result<(), PageFault> {
        let byte = self.byte()?;
        let length = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        if depth > DEPTH {
            return Err(wrong("structs nest too deep"));
        }
        for _ in 0..length {
            // A flag has a byte of its own in a list, and in a field it has none. Every element has a byte at least, so
            // this ends with the bytes.
            match byte & 0xf {
                TRUE | FALSE => self.byte().map(drop)?,
                kind => self.skip(kind, depth + 1)?,
            }
        }
        Ok(())
    }

    fn advance(&mut self, bytes: u64) -> Result<(), PageFault> {
        let left = (self.bytes.len() - self.at) as u64;
        if bytes > left {
            return Err(wrong("it ends early"));
        }
        self.at += usize::try_from(bytes).expect("it is not more than there is");
        Ok(())
    }
}
