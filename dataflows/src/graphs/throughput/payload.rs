//! What the throughput graph sends: a key and some bytes, as records or as a page.

use std::fmt;
use std::io::Write;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::progress::Stamp;

/// A hash of a key (the finaliser of splitmix64).
pub(super) fn mix(key: u64) -> u64 {
    let key =
        (key.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

/// The payload of a key.
pub(super) fn fill(key: u64, bytes: usize) -> Vec<u8> {
    vec![filling(key); bytes]
}

/// The byte that the payload of a key is made of.
pub(super) fn filling(key: u64) -> u8 {
    mix(key).to_le_bytes()[0]
}

/// The payload of a record.
pub(super) trait Payload: Serialize + DeserializeOwned + Clone + Send + 'static {
    fn new(bytes: Vec<u8>) -> Self;
    fn bytes(&self) -> &[u8];
}

impl Payload for Vec<u8> {
    fn new(bytes: Vec<u8>) -> Self {
        bytes
    }
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A payload that says to serde that it is bytes, and so is copied at once and not byte by byte.
#[derive(Clone)]
pub(super) struct Blob(Vec<u8>);

impl Payload for Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Blob(bytes)
    }
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Read)
    }
}

/// A batch that is itself the container. Serialised it is the key and the length, 64 bits little-endian
/// each, and the payload, filled up to a multiple of eight.
#[derive(Clone, Default)]
pub(super) struct Page {
    pub(super) key: u64,
    body: Body,
}

#[derive(Clone)]
enum Body {
    /// As it was made.
    Made(Vec<u8>),
    /// As it was received: a part of timely's buffer.
    Received { buffer: Bytes, length: usize },
}

impl Default for Body {
    fn default() -> Self {
        Body::Made(vec![])
    }
}

/// The bytes of the key and the length.
const HEAD: usize = 16;

impl Page {
    pub(super) fn new(key: u64, bytes: Vec<u8>) -> Self {
        Page { key, body: Body::Made(bytes) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::Made(bytes) => bytes,
            Body::Received { buffer, length } => &buffer[..*length],
        }
    }
}

impl Accountable for Page {
    // Never zero: timely drops without a word what has no records.
    fn record_count(&self) -> i64 {
        1
    }
}

impl ContainerBytes for Page {
    fn from_bytes(mut bytes: Bytes) -> Self {
        let number = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let (key, length) = (number(0), number(8));
        let length = usize::try_from(length).expect("it was in the memory of the sender");
        bytes.extract_to(HEAD);
        Page { key, body: Body::Received { buffer: bytes, length } }
    }

    fn length_in_bytes(&self) -> usize {
        HEAD + self.bytes().len().next_multiple_of(8)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let bytes = self.bytes();
        let filled = bytes.len().next_multiple_of(8) - bytes.len();
        writer
            .write_all(&self.key.to_le_bytes())
            .and_then(|()| writer.write_all(&(bytes.len() as u64).to_le_bytes()))
            .and_then(|()| writer.write_all(bytes))
            .and_then(|()| writer.write_all(&[0; 8][..filled]))
            .expect("timely has made room for the length that was asked for");
    }
}

/// Sends each page to the worker that its key chooses.
pub(super) struct ByPage;

impl Distributor<Page> for ByPage {
    fn partition<T: Clone, P: Push<Message<T, Page>>>(
        &mut self,
        page: &mut Page,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let peers = pushers.len() as u64;
        let target = usize::try_from(mix(page.key) % peers).expect("it is below a length");
        Message::push_at(page, stamp.clone(), &mut pushers[target]);
    }

    fn flush<T: Clone, P: Push<Message<T, Page>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}
