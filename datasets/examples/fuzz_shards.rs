//! Damages token shards, and counts what comes of it.
//!
//! ```text
//! cargo run --release -p datasets --example fuzz_shards -- [mutations = 100000] [seed = 1]
//! ```
//!
//! Each damaged file is read twice: with its manifest, where every difference must be an error; and without one, as a
//! file of others, where damage may go unseen as Parquet has no checksums, but tokens must be those that arrow-rs reads,
//! and nothing may panic. Ends with 1 if a wrong token or a panic got through.
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt32Type};
use bytes::Bytes;
use datasets::TokenLists;
use datasets::random::{ChaCha8Rng, below, stream};
use datasets::shard::{
    Folder, Header, Layout, PageCompression, ReadAt, Sample, SampleId, ShardEntry, ShardWriter,
    Shards, TokenEncoding, write_manifest,
};
use datasets::store::digest_bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A file in memory, in a folder of its own.
#[derive(Debug, Clone)]
struct Memory(Bytes);

impl ReadAt for Memory {
    fn name(&self) -> String {
        "memory/tokens.parquet".into()
    }
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let place = |at: u64| usize::try_from(at).ok().filter(|at| *at <= self.0.len());
        match (place(range.start), place(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(self.0.slice(start..end)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Folder for Memory {
    fn name(&self) -> String {
        "memory".into()
    }
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(vec![("tokens.parquet".into(), self.0.len() as u64)])
    }
    fn open(&self, _: &str) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(self.clone()))
    }
}

struct Good {
    name: String,
    header: Header,
    bytes: Vec<u8>,
    entry: ShardEntry,
    tokens: TokenLists,
}

fn good(layout: Layout, vocab_size: u32) -> Good {
    let dir = tempfile::tempdir().expect("a folder");
    let header =
        Header { tokenizer: digest_bytes(b"t"), vocab_size, bos_id: None, eos_id: Some(0) };
    let path = dir.path().join("tokens.parquet");
    let mut writer = ShardWriter::with_layout(&path, &header, layout).expect("a shard");
    let mut tokens = TokenLists::default();
    for i in 0..60 {
        let mut rng = stream(1, "fuzz", 0, i);
        let length = below(&mut rng, 120);
        let list: Vec<u32> = (0..length)
            .map(|_| u32::try_from(below(&mut rng, u64::from(vocab_size))).expect("an id"))
            .collect();
        tokens.tokens.extend_from_slice(&list);
        tokens.bounds.push(u32::try_from(tokens.tokens.len()).expect("few tokens"));
        let id = SampleId::of_tokens(&list);
        writer
            .push(&Sample { id, source: "fuzz".into(), tokens: list, num_bytes: 9 })
            .expect("a sample");
    }
    let entry = ShardEntry { file: "tokens.parquet".into(), ..writer.finish().expect("a shard") };
    let bytes = std::fs::read(&path).expect("its bytes");
    Good { name: format!("{layout}, {vocab_size} ids"), header, bytes, entry, tokens }
}

/// One kind of damage, by name.
fn damage(good: &[u8], rng: &mut ChaCha8Rng) -> (&'static str, Vec<u8>) {
    let mut bytes = good.to_vec();
    let mut at = |n: usize| usize::try_from(below(rng, n.max(1) as u64)).expect("a place");
    let size = bytes.len();
    let footer = size - size.min(1200);
    match at(8) {
        0 => {
            let (place, bit) = (at(size), at(8));
            bytes[place] ^= 1 << bit;
            ("a bit", bytes)
        }
        1 => {
            let (place, bit) = (footer + at(size - footer), at(8));
            bytes[place] ^= 1 << bit;
            ("a bit of the footer", bytes)
        }
        2 => {
            let (from, length) = (at(size), 1 + at(512));
            let end = (from + length).min(size);
            bytes[from..end].fill(0);
            ("a hole of zeros", bytes)
        }
        3 => {
            bytes.truncate(at(size));
            ("cut off", bytes)
        }
        4 => {
            let (from, to, length) = (at(size), at(size), 1 + at(256));
            let piece = good[from..(from + length).min(size)].to_vec();
            let end = (to + piece.len()).min(size);
            bytes[to..end].copy_from_slice(&piece[..end - to]);
            ("a piece of elsewhere", bytes)
        }
        5 => {
            let (place, byte) = (at(size), at(256));
            bytes.insert(place, u8::try_from(byte).expect("a byte"));
            ("a byte more", bytes)
        }
        6 => {
            bytes.remove(at(size));
            ("a byte less", bytes)
        }
        _ => {
            for _ in 0..1 + at(16) {
                let (place, byte) = (at(size), at(256));
                bytes[place] = u8::try_from(byte).expect("a byte");
            }
            ("some bytes", bytes)
        }
    }
}

/// All lists of opened shards.
fn read(shards: &Shards) -> Result<TokenLists, String> {
    let mut lists = TokenLists::default();
    for group in shards.groups() {
        shards
            .read_tokens(group.shard, group.row_group, &mut lists)
            .map_err(|error| error.to_string())?;
    }
    Ok(lists)
}

/// What arrow-rs reads, if it reads anything.
fn by_arrow(bytes: &Bytes) -> Option<TokenLists> {
    catch_unwind(AssertUnwindSafe(|| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).ok()?.build().ok()?;
        let mut lists = TokenLists::default();
        for batch in reader {
            let batch = batch.ok()?;
            let column = batch.column_by_name("tokens")?;
            let list = column.as_list_opt::<i32>()?;
            for row in 0..list.len() {
                let values = list.value(row);
                match values.as_primitive_opt::<UInt16Type>() {
                    Some(narrow) => {
                        lists.tokens.extend(narrow.values().iter().map(|id| u32::from(*id)))
                    }
                    None => lists.tokens.extend(values.as_primitive_opt::<UInt32Type>()?.values()),
                }
                lists.bounds.push(u32::try_from(lists.tokens.len()).ok()?);
            }
        }
        Some(lists)
    }))
    .ok()
    .flatten()
}

#[derive(Default)]
struct Count {
    made: u64,
    /// With the manifest: refused, harmless (the same bytes), wrong tokens.
    refused: u64,
    harmless: u64,
    wrong: u64,
    /// Without: refused, read as by arrow-rs, damage unseen, other than arrow-rs.
    refused_alone: u64,
    unseen: u64,
    other: u64,
    panics: u64,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let (mutations, seed) = (arguments.next().unwrap_or(100_000), arguments.next().unwrap_or(1));
    std::panic::set_hook(Box::new(|_| {}));
    let mut files = Vec::new();
    for encoding in [
        TokenEncoding::Plain,
        TokenEncoding::ByteStreamSplit,
        TokenEncoding::Delta,
        TokenEncoding::Dictionary,
    ] {
        for compression in [PageCompression::None, PageCompression::Lz4, PageCompression::Zstd(1)] {
            for vocab_size in [500, 100_000] {
                let layout =
                    Layout { encoding, compression, row_group_tokens: 1200, page_bytes: 900 };
                files.push(good(layout, vocab_size));
            }
        }
    }
    let dir = tempfile::tempdir().expect("a folder");
    let adopted = tempfile::tempdir().expect("a folder");
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for mutation in 0..mutations {
        let mut rng = stream(seed, "damage", 0, mutation);
        let place = usize::try_from(below(&mut rng, files.len() as u64)).expect("a place");
        let good = &files[place];
        let (kind, bytes) = damage(&good.bytes, &mut rng);
        let same = bytes == good.bytes;
        let count = counts.entry(kind).or_default();
        count.made += 1;
        let memory = Memory(Bytes::from(bytes));
        let with = catch_unwind(AssertUnwindSafe(|| with_manifest(good, &memory, dir.path())));
        match with {
            Err(_) => count.panics += 1,
            Ok(Err(_)) => count.refused += 1,
            Ok(Ok(lists)) if lists == good.tokens && same => count.harmless += 1,
            Ok(Ok(_)) => count.wrong += 1,
        }
        let alone = catch_unwind(AssertUnwindSafe(|| {
            let header = Header { vocab_size: u32::MAX, ..good.header.clone() };
            let shards = Shards::adopt(&memory, "tokens", &header, adopted.path());
            shards.map_err(|error| error.to_string()).and_then(|shards| read(&shards))
        }));
        match alone {
            Err(_) => count.panics += 1,
            Ok(Err(_)) => count.refused_alone += 1,
            Ok(Ok(lists)) => match by_arrow(&memory.0) {
                Some(expected) if expected != lists => {
                    count.other += 1;
                    println!("other tokens than arrow-rs: mutation {mutation} of {}", good.name);
                }
                _ => count.unseen += 1,
            },
        }
    }
    println!(
        "{:22} {:>8} | {:>8} {:>8} {:>6} | {:>8} {:>8} {:>6} | {:>6}",
        "damage", "files", "refused", "the same", "WRONG", "refused", "unseen", "OTHER", "PANICS"
    );
    let mut bad = 0;
    for (kind, c) in &counts {
        println!(
            "{kind:22} {:>8} | {:>8} {:>8} {:>6} | {:>8} {:>8} {:>6} | {:>6}",
            c.made, c.refused, c.harmless, c.wrong, c.refused_alone, c.unseen, c.other, c.panics
        );
        bad += c.wrong + c.other + c.panics;
    }
    println!("{:22} {:>8} | with the manifest         | without it               |", "", "");
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn with_manifest(good: &Good, memory: &Memory, dir: &Path) -> Result<TokenLists, String> {
    if !dir.join(&good.name).exists() {
        std::fs::create_dir_all(dir.join(&good.name)).expect("a folder");
        write_manifest(&dir.join(&good.name), &good.header, std::slice::from_ref(&good.entry))
            .expect("a manifest");
    }
    let shards = Shards::open_in(&dir.join(&good.name), memory, None);
    shards.map_err(|error| error.to_string()).and_then(|shards| read(&shards))
}
