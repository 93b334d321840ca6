//! Pages of a column chunk: where they are, and their bytes, decompressed.
//!
//! ```text
//! chunk      page*                          one after the other, until the chunk ends
//! page       header  stored bytes           the header says how many
//! data       u32 length  repetition levels  u32 length  definition levels  values     (version 1: compressed as a whole)
//! data       repetition levels  definition levels  values                             (version 2: only values compressed)
//! ```
//!
//! A page is not believed: its sizes are held against the chunk's, its values against the row group's, and no memory
//! is set aside that the codec could not fill from the bytes that are there.

mod fault;
mod header;
mod runs;
mod scratch;

use parquet::basic::Compression;

pub(super) use fault::Fault;
pub use fault::PageFault;
pub(super) use header::encoding;
use header::{Header, Kind};
pub(super) use runs::Runs;
pub(super) use scratch::{Scratch, with_scratch};

/// The most values of a row group: `TokenLists` counts in 32 bits.
pub(super) const MAX_VALUES: u64 = 1 << 28;
/// The most rows.
pub(super) const MAX_ROWS: u64 = 1 << 26;

/// A column chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// Its stored bytes.
    pub(super) bytes: &'a [u8],
    /// Where they are in the file.
    pub(super) offset: u64,
    /// How its pages are compressed.
    pub(super) codec: Compression,
    /// How many levels it has, by the footer.
    pub(super) num_values: u64,
    /// How many rows, by the footer.
    pub(super) num_rows: u64,
    /// How many bytes it has when decompressed, by the footer.
    pub(super) uncompressed: u64,
    /// How many bytes a value has at least.
    pub(super) value_bytes: u64,
}

/// A page that lies whole in its chunk.
pub(super) struct Page<'a> {
    header: Header,
    stored: &'a [u8],
    /// Where its header begins in the file.
    pub(super) offset: u64,
}

/// The pages of a chunk, one after the other.
pub(super) struct Pages<'a> {
    chunk: Chunk<'a>,
    at: usize,
    values: u64,
}

impl<'a> Chunk<'a> {
    pub(super) fn pages(self) -> Pages<'a> {
        Pages { chunk: self, at: 0, values: 0 }
    }

    /// Whether the chunk's pages are what they say, as far as headers tell: asked before other code reads them.
    pub(super) fn check(self) -> Result<(), Fault> {
        let mut pages = self.pages();
        while pages.next()?.is_some() {}
        Ok(())
    }
}

impl<'a> Pages<'a> {
    /// The next page.
    pub(super) fn next(&mut self) -> Result<Option<Page<'a>>, Fault> {
        let offset = self.chunk.offset + self.at as u64;
        let fail = |fault| Fault { offset, fault };
        let equal = |what, expected: u64, found: u64| {
            let right = expected == found;
            right.then_some(()).ok_or(fail(PageFault::Count { what, expected, found }))
        };
        let at_most = |what, limit: u64, found: u64| {
            let right = found <= limit;
            right.then_some(()).ok_or(fail(PageFault::TooLarge { what, limit, found }))
        };
        if self.at == 0 {
            at_most("the number of values", MAX_VALUES, self.chunk.num_values)?;
            at_most("the number of rows", MAX_ROWS, self.chunk.num_rows)?;
        }
        let rest = &self.chunk.bytes[self.at..];
        if rest.is_empty() {
            equal("the number of values in all pages", self.chunk.num_values, self.values)?;
            return Ok(None);
        }
        let (header, header_bytes) = header::read(rest).map_err(fail)?;
        let rest = &rest[header_bytes..];
        at_most("the page's stored size", rest.len() as u64, header.stored_bytes as u64)?;
        let stored = &rest[..header.stored_bytes];
        at_most("the page's size", self.chunk.uncompressed, header.bytes as u64)?;
        let most = (stored.len() as u64).saturating_mul(ratio(self.chunk.codec)).saturating_add(64);
        at_most("the page's size", most, header.bytes as u64)?;
        match header.kind {
            Kind::Data { .. } | Kind::DataV2 { .. } => self.values += u64::from(header.num_values),
            Kind::Dictionary => {
                let most = header.bytes as u64 / self.chunk.value_bytes;
                at_most("the dictionary's number of values", most, u64::from(header.num_values))?;
            }
            Kind::Other => {}
        }
        at_most("the number of values", self.chunk.num_values, self.values)?;
        if let Some(expected) = header.checksum {
            let mut crc = flate2::Crc::new();
            crc.update(stored);
            let found = crc.sum();
            if expected != found {
                return Err(fail(PageFault::Checksum { expected, found }));
            }
        }
        self.at += header_bytes + header.stored_bytes;
        Ok(Some(Page { header, stored, offset }))
    }
}

/// A page of data: levels and values.
pub(super) struct Data<'a> {
    pub(super) num_values: u64,
    pub(super) rep: &'a [u8],
    pub(super) def: &'a [u8],
    pub(super) values: &'a [u8],
    pub(super) encoding: i32,
}

impl<'a> Page<'a> {
    /// Its data, decompressed, if it is a page whose levels are both run-length encoded; none of another kind.
    pub(super) fn data<'s>(
        &self,
        codec: Compression,
        scratch: &'s mut Scratch,
    ) -> Result<Option<Data<'s>>, PageFault>
    where
        'a: 's,
    {
        let (num_values, encoding) = (u64::from(self.header.num_values), self.header.encoding);
        match self.header.kind {
            Kind::Data { rle_levels: true } => {
                let Some(bytes) = scratch.decompress(codec, self.stored, self.header.bytes)? else {
                    return Ok(None);
                };
                let (rep, bytes) = prefixed(bytes)?;
                let (def, values) = prefixed(bytes)?;
                Ok(Some(Data { num_values, rep, def, values, encoding }))
            }
            Kind::DataV2 { rep_bytes, def_bytes, compressed } => {
                let too_large = PageFault::Levels { what: "their size is larger than the page" };
                let levels = rep_bytes.saturating_add(def_bytes);
                let Some((levels, stored)) = self.stored.split_at_checked(levels) else {
                    return Err(too_large);
                };
                let bytes = self.header.bytes.checked_sub(levels.len()).ok_or(too_large)?;
                let codec = if compressed { codec } else { Compression::UNCOMPRESSED };
                let values = if stored.is_empty() && bytes == 0 {
                    stored
                } else if let Some(values) = scratch.decompress(codec, stored, bytes)? {
                    values
                } else {
                    return Ok(None);
                };
                let (rep, def) = levels.split_at(rep_bytes);
                Ok(Some(Data { num_values, rep, def, values, encoding }))
            }
            _ => Ok(None),
        }
    }

    /// Whether readers pass it over.
    pub(super) fn is_skipped(&self) -> bool {
        self.header.kind == Kind::Other
    }
}

/// Levels with their length before them.
fn prefixed(bytes: &[u8]) -> Result<(&[u8], &[u8]), PageFault> {
    let early = PageFault::Levels { what: "their length is larger than the page" };
    let Some((length, rest)) = bytes.split_first_chunk() else { return Err(early) };
    usize::try_from(u32::from_le_bytes(*length))
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(early)
}

/// How many bytes a codec can make of one.
fn ratio(codec: Compression) -> u64 {
    match codec {
        Compression::UNCOMPRESSED => 1,
        Compression::SNAPPY => 64,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        Compression::GZIP(_) => 1 << 11,
        // A block of 128 KiB of one value has 4 bytes.
        _ => 1 << 16,
    }
}
