//! Memory that the decoder of a thread uses again.

use std::cell::RefCell;
use std::io::{self, Read};

use parquet::basic::Compression;

use super::PageFault;

/// The page that is decompressed, and what decompresses it.
#[derive(Default)]
pub(in crate::shard) struct Scratch {
    page: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Calls `f` with the thread's scratch.
pub(in crate::shard) fn with_scratch<T>(f: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => f(&mut scratch),
        // It is in use further up: `f` gets one of its own.
        Err(_) => f(&mut Scratch::default()),
    })
}

impl Scratch {
    /// The `bytes` bytes that `stored` is when decompressed; nothing if the codec is not one of ours.
    pub(super) fn decompress<'s>(
        &'s mut self,
        codec: Compression,
        stored: &'s [u8],
        bytes: usize,
    ) -> Result<Option<&'s [u8]>, PageFault> {
        let page = &mut self.page;
        let found = match codec {
            Compression::UNCOMPRESSED => return sized(stored, bytes).map(Some),
            Compression::ZSTD(_) => {
                page.clear();
                page.reserve(bytes);
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(zstd::bulk::Decompressor::new()?),
                };
                zstd.decompress_to_buffer(stored, page)?
            }
            Compression::SNAPPY => {
                // It says itself how long it is: that must not be more than there is room for.
                let length = snap::raw::decompress_len(stored).map_err(io::Error::other)?;
                sized_is(length, bytes)?;
                page.resize(bytes, 0);
                snap::raw::Decoder::new().decompress(stored, page).map_err(io::Error::other)?
            }
            Compression::LZ4_RAW => {
                page.resize(bytes, 0);
                lz4_flex::block::decompress_into(stored, page).map_err(io::Error::other)?
            }
            Compression::GZIP(_) => {
                page.clear();
                let limit = (bytes as u64).saturating_add(1);
                flate2::bufread::MultiGzDecoder::new(stored).take(limit).read_to_end(page)?
            }
            _ => return Ok(None),
        };
        sized_is(found, bytes)?;
        sized(page, bytes).map(Some)
    }
}

fn sized_is(found: usize, expected: usize) -> Result<(), PageFault> {
    if found == expected {
        return Ok(());
    }
    let (expected, found) = (expected as u64, found as u64);
    Err(PageFault::Count { what: "the decompressed page's size", expected, found })
}

fn sized(bytes: &[u8], expected: usize) -> Result<&[u8], PageFault> {
    sized_is(bytes.len(), expected)?;
    Ok(bytes)
}
