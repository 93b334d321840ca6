//! A cache as its users see it.

mod commits;
mod faults;
mod outside;
mod whole;

use std::path::Path;

use super::fixture::{identity, samples};
use super::*;

/// Row groups of a few samples, shards of some more.
const SMALL: Sizes = Sizes { group_tokens: 40, shard_tokens: 120, level: 3 };

/// A cache of so many samples of a vocabulary of 500, and what was put in.
fn filled(dir: &Path, profile: &Profile, count: u64) -> Vec<Scored> {
    let identity = identity(500, profile);
    let samples = samples(&identity, profile, count);
    let mut writer = CacheWriter::with_sizes(dir, &identity, *profile, SMALL).unwrap();
    for sample in &samples {
        writer.push(sample).unwrap();
    }
    writer.commit().unwrap();
    samples
}

/// What a sample is after it was stored: the plain way, without a file.
fn stored(sample: &Scored, profile: &Profile, k: Option<u32>) -> Scored {
    let row = stored::Row::encode(sample, profile, 500).unwrap();
    row.by_ref().decode(profile.values, &profile.values.table(), k).unwrap()
}

/// The one shard file of a cache, or its `n`-th.
fn shard_file(dir: &Path, n: usize) -> std::path::PathBuf {
    Cache::open(dir, None).unwrap().shards().nth(n).unwrap().0.to_owned()
}
