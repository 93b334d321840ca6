//! Compressed files as streams of text.
//!
//! | codec | by the last extension | also read |
//! |---|---|---|
//! | [`Codec::Gzip`] | `.gz` | many members, one after the other |
//! | [`Codec::Zstd`] | `.zst` | many frames, and skippable ones; windows of up to 128 MiB |

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::TextError;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Zstd,
}

impl Codec {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// An error at a byte of the compressed file.
    pub(super) fn bad(self, path: &Path, offset: u64, source: io::Error) -> TextError {
        TextError::BadStream { path: path.to_owned(), codec: self.name(), offset, source }
    }
}

/// A file that knows how many of its bytes were taken.
pub(super) struct Counted {
    reader: BufReader<File>,
    at: u64,
}

impl Counted {
    /// Opens a file that had `expected` bytes when the corpus was opened, at an offset.
    pub(super) fn open(path: &Path, expected: u64, at: u64) -> Result<Self, TextError> {
        let mut file = File::open(path).map_err(TextError::io(path, "open"))?;
        let found = file.metadata().map_err(TextError::io(path, "read"))?.len();
        if found != expected {
            return Err(TextError::Changed { path: path.to_owned(), expected, found });
        }
        file.seek(SeekFrom::Start(at)).map_err(TextError::io(path, "read"))?;
        Ok(Self { reader: BufReader::with_capacity(1 << 17, file), at })
    }

    /// How many bytes of the file were taken.
    pub(super) fn at(&self) -> u64 {
        self.at
    }
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(to)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes as u64;
        self.reader.consume(bytes);
    }
}

/// The text of a compressed file, from the start of a frame on.
pub(super) enum Decoder {
    Gzip(Box<MultiGzDecoder<Counted>>),
    Zstd(Box<zstd::Decoder<'static, Counted>>),
}

impl Decoder {
    pub(super) fn new(codec: Codec, file: Counted) -> io::Result<Self> {
        Ok(match codec {
            Codec::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(file))),
            Codec::Zstd => Self::Zstd(Box::new(zstd::Decoder::with_buffer(file)?)),
        })
    }

    /// How many bytes of the file were taken.
    pub(super) fn at(&self) -> u64 {
        match self {
            Self::Gzip(decoder) => decoder.get_ref().at(),
            Self::Zstd(decoder) => decoder.get_ref().at(),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(to),
            Self::Zstd(decoder) => decoder.read(to),
        }
    }
}
