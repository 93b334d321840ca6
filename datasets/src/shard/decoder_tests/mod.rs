//! The decoder on runs of levels against arrow-rs, over every layout; and damage without a manifest.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::TokenLists;
use crate::random::{below, stream};

mod damage;
mod files;

/// A file in memory, and the folder that it is in.
#[derive(Debug, Clone)]
struct Memory(Bytes);

impl ReadAt for Memory {
    fn name(&self) -> String {
        "memory.parquet".to_owned()
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        self.0.get(range.clone()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.0.slice(range))
    }
}

impl Folder for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(vec![("memory.parquet".to_owned(), self.0.len() as u64)])
    }

    fn open(&self, _: &str) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(self.clone()))
    }
}

fn header(vocab_size: u32) -> Header {
    let tokenizer = digest_bytes(b"tokenizer");
    Header { tokenizer, vocab_size, bos_id: None, eos_id: None }
}

fn open(bytes: impl Into<Bytes>, vocab_size: u32) -> Result<Shards, ShardError> {
    let dir = tempfile::tempdir().unwrap();
    Shards::adopt(&Memory(bytes.into()), "tokens", &header(vocab_size), dir.path())
}

fn read(shards: &Shards) -> Result<Vec<Vec<u32>>, ShardError> {
    let mut lists = TokenLists::default();
    for group in shards.groups() {
        shards.read_tokens(group.shard, group.row_group, &mut lists)?;
    }
    Ok((0..lists.len()).map(|i| lists.get(i).to_vec()).collect())
}

#[test]
fn every_layout_reads_as_arrow_reads_it() {
    for (n, kind) in files::KINDS.into_iter().enumerate() {
        for stored in files::STORED {
            for (page_bytes, count, rows) in
                [(40, 60, 7), (700, 200, 64), (1 << 20, 300, 1000), (1 << 20, 1, 1)]
            {
                let mut rng = stream(3, "lists", n as u64, page_bytes as u64);
                let vocab_size = if kind.ends_with("u32") { 200_000 } else { 60_000 };
                let lists = files::lists(kind, count, vocab_size, |n| below(&mut rng, n));
                let good = files::file(kind, stored, page_bytes, lists, rows);
                let arrow = files::by_arrow(&Bytes::from(good.bytes.clone()));
                assert_eq!(arrow.as_ref(), Some(&good.lists), "{}", good.name);
                let shards = open(good.bytes, vocab_size).unwrap();
                assert_eq!(read(&shards).unwrap(), good.lists, "{}", good.name);
            }
        }
    }
}

#[test]
fn lists_are_appended_and_after_an_error_they_are_as_before() {
    let good = files::file("list of u32", "plain", 100, vec![vec![1, 2], vec![], vec![3]], 9);
    let shards = open(good.bytes.clone(), 4).unwrap();
    let mut lists = TokenLists::default();
    shards.read_tokens(0, 0, &mut lists).unwrap();
    shards.read_tokens(0, 0, &mut lists).unwrap();
    assert_eq!(lists.tokens, [1, 2, 3, 1, 2, 3]);
    assert_eq!(lists.bounds, [0, 2, 2, 3, 5, 5, 6]);
    assert_eq!(shards.lengths(0, 0).unwrap(), [2, 0, 1]);
    let before = lists.clone();
    let mut bad = good.bytes;
    bad[good.headers[0] + 2] ^= 1;
    let error = open(bad, 4).unwrap_err();
    assert!(matches!(error, ShardError::BadRowGroup { row_group: 0, .. }), "{error}");
    assert_eq!(lists, before);
}

#[test]
fn without_a_manifest_damage_is_an_error_or_what_arrow_reads_and_never_a_panic() {
    let mut goods = Vec::new();
    for kind in files::KINDS {
        for stored in files::STORED {
            let mut rng = stream(5, "lists", 0, 0);
            let lists = files::lists(kind, 50, 500, |n| below(&mut rng, n));
            goods.push(files::file(kind, stored, 400, lists, 30));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for (i, good) in goods.iter().enumerate() {
        let folder = dir.path().join(i.to_string());
        std::fs::create_dir(&folder).unwrap();
        let bytes = Memory(good.bytes.clone().into());
        Shards::adopt(&bytes, "tokens", &header(500), &folder).unwrap();
    }
    for mutation in 0..2000 {
        let mut rng = stream(6, "damage", 0, mutation);
        let place = usize::try_from(below(&mut rng, goods.len() as u64)).unwrap();
        let good = &goods[place];
        let (kind, bytes) = damage::damage(&good.bytes, &good.headers, |n| below(&mut rng, n));
        let folder = dir.path().join(place.to_string());
        let known = Shards::open_in(&folder, &Memory(bytes.clone().into()), None);
        if let Ok(lists) = known.and_then(|shards| read(&shards)) {
            // Bytes that nobody reads, as those of indexes, are under no hash.
            assert!(lists == good.lists, "mutation {mutation} of {}: {kind}", good.name);
        }
        if let Ok(lists) = open(bytes.clone(), 500).and_then(|shards| read(&shards))
            && let Some(expected) = files::by_arrow(&bytes.into())
        {
            assert!(lists == expected, "mutation {mutation} of {}: {kind}", good.name);
        }
    }
}
