//! How the token column of a shard is stored.

use std::fmt;

use parquet::basic::{Compression, Encoding, ZstdLevel};

/// How the values of the token column are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenEncoding {
    /// Four bytes a token.
    Plain,
    /// The lowest bytes of all tokens of a page first, then the next: compresses best where no token repeats another.
    ByteStreamSplit,
    /// Differences, bit-packed.
    Delta,
    /// Numbers of a list of the tokens there are.
    Dictionary,
}

/// What pages are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCompression {
    /// Nothing.
    None,
    /// LZ4.
    Lz4,
    /// Snappy.
    Snappy,
    /// Zstandard, at a level of 1 to 22.
    Zstd(u8),
}

/// How a shard is stored. The default is chosen by measurement: see the log of experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How the tokens of a page are arranged.
    pub encoding: TokenEncoding,
    /// What pages are compressed with.
    pub compression: PageCompression,
    /// A row group ends with the sample that reaches this many tokens.
    pub row_group_tokens: u64,
    /// A page ends at about as many bytes, before compression.
    pub page_bytes: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            encoding: TokenEncoding::ByteStreamSplit,
            compression: PageCompression::Zstd(1),
            row_group_tokens: 1 << 20,
            page_bytes: 1 << 20,
        }
    }
}

impl Layout {
    pub(super) fn encoding(&self) -> Option<Encoding> {
        match self.encoding {
            TokenEncoding::Plain => Some(Encoding::PLAIN),
            TokenEncoding::ByteStreamSplit => Some(Encoding::BYTE_STREAM_SPLIT),
            TokenEncoding::Delta => Some(Encoding::DELTA_BINARY_PACKED),
            TokenEncoding::Dictionary => None,
        }
    }

    pub(super) fn compression(&self) -> Compression {
        match self.compression {
            PageCompression::None => Compression::UNCOMPRESSED,
            PageCompression::Lz4 => Compression::LZ4_RAW,
            PageCompression::Snappy => Compression::SNAPPY,
            PageCompression::Zstd(level) => {
                Compression::ZSTD(ZstdLevel::try_new(i32::from(level)).unwrap_or_default())
            }
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.encoding {
            TokenEncoding::Plain => "plain",
            TokenEncoding::ByteStreamSplit => "split",
            TokenEncoding::Delta => "delta",
            TokenEncoding::Dictionary => "dictionary",
        })?;
        match self.compression {
            PageCompression::None => Ok(()),
            PageCompression::Lz4 => f.write_str("+lz4"),
            PageCompression::Snappy => f.write_str("+snappy"),
            PageCompression::Zstd(level) => write!(f, "+zstd{level}"),
        }
    }
}
