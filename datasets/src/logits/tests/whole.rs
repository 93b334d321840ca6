//! What is written is read, in every order; and what is done to a cache as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;

const PROFILES: [&str; 6] = ["k16", "k32", "k64", "exact", "top-p", "unbiased"];

#[test]
fn samples_come_back_in_any_order_as_the_plain_coding_has_them() {
    for name in PROFILES {
        let dir = tempfile::tempdir().unwrap();
        let profile: Profile = name.parse().unwrap();
        let samples = filled(dir.path(), &profile, 40);
        let cache = Arc::new(Cache::open(dir.path(), None).unwrap());
        assert_eq!((cache.len(), cache.lost().len()), (40, 0));
        assert!(cache.shards().len() > 2 && cache.groups().len() > cache.shards().len());
        let mut reader = Reader::new(Arc::clone(&cache), 2000);
        // All, backwards and with leaps, one by one and at once.
        let order: Vec<usize> = (0..40).map(|n| (n * 29 + 39) % 40).collect();
        let ids: Vec<_> = order.iter().map(|n| samples[*n].id).collect();
        let at_once = cache.read(&ids, None).unwrap();
        for (n, read) in order.iter().zip(&at_once) {
            assert_eq!(*read, stored(&samples[*n], &profile, None), "{name}");
            assert_eq!(*read, reader.get(samples[*n].id, None).unwrap());
        }
        let mut by_group = BTreeSet::new();
        for group in cache.groups() {
            for read in cache.read_group(group.shard, group.row_group, None).unwrap() {
                assert!(ids.contains(&read.id));
                by_group.insert(read.id);
            }
        }
        assert_eq!(by_group.len(), 40);
        let entry = cache.entry(samples[7].id).unwrap();
        assert_eq!(*entry.source, samples[7].source);
        assert_eq!(entry.num_tokens as usize, samples[7].tokens.len());
        assert!(cache.entry(fixture::stranger()).is_none());
        assert_eq!(cache.entries().count(), 40);
    }
}

#[test]
fn a_cache_serves_fewer_entries_than_it_has_and_says_so_when_it_is_asked_for_more() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(32);
    let samples = filled(dir.path(), &profile, 5);
    let cache = Cache::open(dir.path(), None).unwrap();
    for k in [1, 8, 31, 32] {
        for (read, sample) in
            cache.read(&[samples[3].id], Some(k)).unwrap().iter().zip(&samples[3..])
        {
            assert_eq!(*read, stored(sample, &profile, Some(k)));
            assert!(read.bounds.windows(2).all(|pair| pair[1] - pair[0] == k));
        }
    }
    let error = cache.read(&[samples[3].id], Some(33)).unwrap_err();
    assert!(error.to_string().contains("stored with 32 entries a token"), "{error}");
    assert!(matches!(error, LogitError::TooFew { stored: 32, asked: 33, .. }));
    assert!(matches!(cache.read(&[fixture::stranger()], None), Err(LogitError::NoSample { .. })));
    let dir = tempfile::tempdir().unwrap();
    let samples = filled(dir.path(), &"unbiased".parse().unwrap(), 5);
    let cache = Cache::open(dir.path(), None).unwrap();
    let error = cache.read(&[samples[0].id], Some(4)).unwrap_err();
    assert!(matches!(error, LogitError::Sampled { asked, .. } if asked == "a cut to 4"));
}

#[test]
fn many_writers_at_once_leave_what_one_leaves() {
    let profile = Profile::top(16);
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let samples = filled(one.path(), &profile, 60);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (samples, dir) = (&samples, many.path());
            scope.spawn(move || {
                let identity = identity(500, &profile);
                let mut writer = CacheWriter::with_sizes(dir, &identity, profile, SMALL).unwrap();
                for sample in samples.iter().skip(worker).step_by(4) {
                    writer.push(sample).unwrap();
                }
                writer.commit().unwrap();
            });
        }
    });
    let (one, many) =
        (Cache::open(one.path(), None).unwrap(), Cache::open(many.path(), None).unwrap());
    assert_eq!(many.len(), 60);
    assert_eq!(one.digest().unwrap(), many.digest().unwrap());
    assert!(verify(many.path(), 2, None).unwrap().findings.is_empty());
    // The digest is of what is in it.
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), &profile, 59);
    assert_ne!(one.digest().unwrap(), Cache::open(dir.path(), None).unwrap().digest().unwrap());
}

#[test]
fn merged_caches_have_the_samples_of_both_and_of_a_sample_the_one_with_more_entries() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let samples = filled(a.path(), &Profile::top(16), 20);
    let more = filled(b.path(), &Profile::top(32), 30);
    let done = merge(a.path(), b.path()).unwrap();
    assert!(done.added > 1 && done.commit.is_some());
    let merged = Cache::open(a.path(), None).unwrap();
    assert_eq!(merged.len(), 30);
    for (n, sample) in more.iter().enumerate() {
        let read = &merged.read(&[sample.id], None).unwrap()[0];
        assert_eq!(*read, stored(sample, &Profile::top(32), None), "sample {n}");
    }
    assert_eq!(
        merge(a.path(), b.path()).unwrap(),
        Done::default(),
        "a second time there is nothing"
    );
    // The other way round nothing is better.
    assert_eq!(merge(b.path(), a.path()).unwrap(), Done::default());
    let into = tempfile::tempdir().unwrap();
    merge(&into.path().join("new"), b.path()).unwrap();
    assert_eq!(Cache::open(&into.path().join("new"), None).unwrap().len(), 30);
    let other = tempfile::tempdir().unwrap();
    filled(other.path(), &Profile::exact(16), 3);
    let error = merge(a.path(), other.path()).unwrap_err();
    assert!(error.to_string().contains("values: expected Fixed16, found Sqrt8"), "{error}");
    assert_eq!(samples.len(), 20);
}

#[test]
fn compacting_leaves_fewer_files_the_same_content_and_the_earlier_commit() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(16);
    filled(dir.path(), &profile, 30);
    filled(dir.path(), &Profile::top(8), 40);
    let before = Cache::open(dir.path(), None).unwrap();
    let (digest, shards) = (before.digest().unwrap(), before.shards().len());
    assert!(stat(&before).unwrap().duplicates == 30);
    let sizes = Sizes { group_tokens: 1000, shard_tokens: 1_000_000, level: 19 };
    let done = compact(dir.path(), sizes).unwrap();
    assert_eq!((done.added, done.removed), (2, shards as u64));
    let after = Cache::open(dir.path(), None).unwrap();
    assert_eq!((after.len(), after.shards().len()), (40, 2));
    assert_eq!(after.digest().unwrap(), digest);
    assert_eq!(stat(&after).unwrap().duplicates, 0);
    let verdict = verify(dir.path(), 2, None).unwrap();
    assert!(verdict.is_good());
    assert_eq!(verdict.findings.len(), shards, "the old files are noted");
    let earlier = Cache::open_at(dir.path(), None, before.commit()).unwrap();
    assert_eq!(earlier.digest().unwrap(), digest);
    assert_eq!(
        collect(dir.path(), Duration::from_hours(1)).unwrap(),
        [] as [std::path::PathBuf; 0]
    );
    assert_eq!(collect(dir.path(), Duration::ZERO).unwrap().len(), shards);
    assert!(verify(dir.path(), 2, None).unwrap().findings.is_empty());
    assert_eq!(Cache::open(dir.path(), None).unwrap().digest().unwrap(), digest);
    // Once more: what would be written is what is there.
    compact(dir.path(), sizes).unwrap();
    assert_eq!(Cache::open(dir.path(), None).unwrap().digest().unwrap(), digest);
}

#[test]
fn stat_counts_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let profile: Profile = "top-p".parse().unwrap();
    let samples = filled(dir.path(), &profile, 30);
    let cache = Cache::open(dir.path(), None).unwrap();
    let stat = stat(&cache).unwrap();
    let plain: Vec<Scored> = samples.iter().map(|s| stored(s, &profile, None)).collect();
    let tokens: usize = plain.iter().map(|s| s.tokens.len()).sum();
    assert_eq!((stat.samples, stat.tokens), (30, tokens as u64));
    assert_eq!(stat.entries, plain.iter().map(|s| s.ids.len() as u64).sum::<u64>());
    let mut k = std::collections::BTreeMap::new();
    let mut mass = 0.0;
    for sample in &plain {
        for (position, tail) in sample.tail.iter().enumerate() {
            *k.entry(u32::try_from(sample.entries(position).0.len()).unwrap()).or_default() += 1;
            mass += 1.0 - f64::from(*tail).exp();
        }
    }
    assert_eq!(stat.k, k);
    assert!((stat.mean_mass - mass / stat.positions as f64).abs() < 1e-6);
    assert_eq!(stat.mass.iter().map(|bin| bin.positions).sum::<u64>(), stat.positions);
    let web = stat.sources["web"];
    assert_eq!(web.samples, samples.iter().filter(|s| *s.source == *"web").count() as u64);
    assert_eq!(stat.sources.values().map(|source| source.tokens).sum::<u64>(), stat.tokens);
    let bytes: u64 = cache.shards().map(|(path, _)| path.metadata().unwrap().len()).sum();
    assert_eq!(stat.bytes, bytes);
    assert_eq!(stat.columns.iter().map(|column| column.bytes).sum::<u64>(), bytes);
    let json = serde_json::to_value(&stat).unwrap();
    assert_eq!(json["tokens"], tokens as u64);
    assert!((json["bytes_per_token"].as_f64().unwrap() - stat.bytes_per_token).abs() < 1e-9);
    let text = stat.to_string();
    assert!(
        text.contains("web") && text.contains("ids") && text.contains("samples      30"),
        "{text}"
    );
    let uniform = tempfile::tempdir().unwrap();
    filled(uniform.path(), &Profile::top(16), 5);
    let stat = super::stat(&Cache::open(uniform.path(), None).unwrap()).unwrap();
    assert_eq!(stat.k, std::collections::BTreeMap::from([(16, stat.positions)]));
}

#[test]
fn samples_of_one_token_and_of_many_lie_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(4);
    let identity = identity(500, &profile);
    let mut writer = CacheWriter::with_sizes(dir.path(), &identity, profile, SMALL).unwrap();
    assert_eq!(writer.commit().unwrap(), None, "of nothing there is no commit");
    let samples: Vec<Scored> = [1, 2, 300, 1, 41]
        .into_iter()
        .enumerate()
        .map(|(seed, tokens)| {
            fixture::Teacher { vocab_size: 500, seed: seed as u64 }
                .sample(&identity, tokens, 4, "s")
        })
        .collect();
    for sample in &samples {
        writer.push(sample).unwrap();
    }
    writer.commit().unwrap();
    let cache = Cache::open(dir.path(), Some(&identity)).unwrap();
    for sample in &samples {
        assert_eq!(cache.read(&[sample.id], None).unwrap()[0], stored(sample, &profile, None));
    }
    assert!(verify(dir.path(), 2, None).unwrap().findings.is_empty());
}
