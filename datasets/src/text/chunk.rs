//! The documents of a chunk, in one text.

use std::ops::Range;
use std::sync::Arc;

use super::Document;

/// What a chunk holds: documents of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The name of the file, from the corpus's folder.
    pub source: Arc<str>,
    /// How many lines of JSON and rows of Parquet hold a blank text, and are no documents.
    pub num_empty: u64,
    text: String,
    places: Vec<Place>,
}

/// Where a document ends in the text of its chunk, and starts in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    end: usize,
    at: u64,
}

/// A document, where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentRef<'a> {
    /// Its text.
    pub text: &'a str,
    /// The name of its file, from the corpus's folder.
    pub source: &'a Arc<str>,
    /// Where it starts in the file: the byte (of the decompressed text), or in Parquet the row.
    pub at: u64,
}

impl Chunk {
    /// The documents, in order.
    pub fn documents(&self) -> impl Iterator<Item = DocumentRef<'_>> {
        let Self { source, text, places, .. } = self;
        let documents = ranges(places).zip(places);
        documents.map(move |(range, place)| DocumentRef {
            text: &text[range],
            source,
            at: place.at,
        })
    }

    /// The documents, each by itself.
    pub fn into_documents(self) -> Vec<Document> {
        let owned = |DocumentRef { text, source, at }: DocumentRef<'_>| Document {
            text: text.to_owned(),
            source: Arc::clone(source),
            at,
        };
        self.documents().map(owned).collect()
    }
}

fn ranges(places: &[Place]) -> impl Iterator<Item = Range<usize>> {
    places.iter().scan(0, |start, place| Some(std::mem::replace(start, place.end)..place.end))
}

/// A chunk in the making.
#[derive(Default)]
pub(super) struct Gathering {
    bytes: Vec<u8>,
    places: Vec<Place>,
    num_empty: u64,
}

impl Gathering {
    /// With room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a document, if it is not blank.
    pub(super) fn push(&mut self, bytes: &[u8], at: u64) {
        if bytes.trim_ascii().is_empty() {
            self.num_empty += 1;
            return;
        }
        self.bytes.extend_from_slice(bytes);
        self.places.push(Place { end: self.bytes.len(), at });
    }

    /// The chunk, checked to be UTF-8.
    ///
    /// # Errors
    /// Where in the file the first byte lies that is none.
    pub(super) fn finish(self, source: Arc<str>) -> Result<Chunk, u64> {
        let Self { bytes, places, num_empty } = self;
        // Two documents could complete each other's letters; so their ends are looked at, too.
        match String::from_utf8(bytes) {
            Ok(text) if places.iter().all(|place| text.is_char_boundary(place.end)) => {
                Ok(Chunk { source, num_empty, text, places })
            }
            Ok(text) => Err(first_fault(text.as_bytes(), &places)),
            Err(error) => Err(first_fault(error.as_bytes(), &places)),
        }
    }
}

fn first_fault(bytes: &[u8], places: &[Place]) -> u64 {
    let fault = |(range, place): (Range<usize>, &Place)| {
        let error = std::str::from_utf8(&bytes[range]).err()?;
        Some(place.at + error.valid_up_to() as u64)
    };
    ranges(places).zip(places).find_map(fault).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_complete_each_others_letters_are_no_text() {
        for (documents, fault) in [
            (&[&b"one"[..], b"\xc3\xa9", b"t\xc3", b"\xa9"], Some(31)),
            (&[&b"one"[..], b"\xc3\xa9", b"t\xc3\xa9", b"\xa9"], Some(40)),
            (&[&b"\xff"[..], b" ", b"two", b"three"], Some(10)),
            (&[&b"one"[..], b" ", b"\xc3\xa9", b"three"], None),
        ] {
            let mut chunk = Gathering::default();
            for (n, document) in documents.iter().enumerate() {
                chunk.push(document, [10, 20, 30, 40][n]);
            }
            let chunk = chunk.finish("x".into());
            assert_eq!(chunk.as_ref().err(), fault.as_ref());
            let Ok(chunk) = chunk else { continue };
            assert_eq!(chunk.num_empty, 1);
            let texts: Vec<_> = chunk.documents().map(|d| (d.text, d.at)).collect();
            assert_eq!(texts, [("one", 10), ("é", 30), ("three", 40)]);
            let owned = chunk.clone().into_documents();
            assert!(owned.iter().map(|d| (&*d.text, d.at)).eq(texts));
        }
    }
}
