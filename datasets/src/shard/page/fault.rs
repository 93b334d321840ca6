//! What can be wrong with a page.

use std::io;

/// What is wrong with a page of a column chunk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// A header that is not one.
    #[error("the page header is damaged: {what}")]
    Header {
        /// Which part of it.
        what: &'static str,
    },
    /// Levels that are none.
    #[error("the page's levels are damaged: {what}")]
    Levels {
        /// Which part of them.
        what: &'static str,
    },
    /// A number that another contradicts.
    #[error("{what} is {found}, expected {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// The number that the rest of the file speaks for.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// A number that is too large for anything that can be there.
    #[error("{what} is {found}, expected at most {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The largest that can be.
        limit: u64,
        /// The number that is there.
        found: u64,
    },
    /// Compressed bytes that do not decompress.
    #[error("the page does not decompress")]
    Decompress(#[from] io::Error),
    /// A checksum that does not match.
    #[error("the page's checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// The checksum in the page's header.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
}

/// A fault, and the byte of the file at which the page begins.
#[derive(Debug)]
pub(in crate::shard) struct Fault {
    pub(in crate::shard) offset: u64,
    pub(in crate::shard) fault: PageFault,
}
