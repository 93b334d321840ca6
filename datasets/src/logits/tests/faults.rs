//! What is wrong, and what is said of it.

use std::fs;

use super::*;
use crate::shard::ShardError;

#[test]
fn a_directory_that_is_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(8);
    for (name, found) in
        [("absent", "No such file"), ("empty", "nothing"), ("other", "`notes.txt`")]
    {
        let path = dir.path().join(name);
        if name != "absent" {
            fs::create_dir(&path).unwrap();
        }
        if name == "other" {
            fs::write(path.join("notes.txt"), "mine").unwrap();
        }
        let error = Cache::open(&path, None).err().unwrap();
        assert!(error.to_string().contains(found), "{error}");
        assert!(error.to_string().contains("is not a cache of logits"), "{error}");
        for error in [verify(&path, 0, None).err(), merge(&dir.path().join("new"), &path).err()] {
            assert!(matches!(error, Some(LogitError::NotACache { .. })));
        }
        let writer = CacheWriter::open(&path, &identity(500, &profile), profile);
        assert_eq!(writer.is_ok(), name != "other");
    }
    assert_eq!(fs::read_dir(dir.path().join("other")).unwrap().count(), 1);
    // A log whose format is gone is nobody's: it is not taken for a new cache.
    let path = dir.path().join("empty");
    filled(&path, &profile, 3);
    fs::remove_file(path.join("_tlc/format.json")).unwrap();
    let error = CacheWriter::open(&path, &identity(500, &profile), profile).err().unwrap();
    assert!(matches!(error, LogitError::NotACache { .. }), "{error}");
}

#[test]
fn a_cache_of_other_logits_is_refused_with_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(8);
    filled(dir.path(), &profile, 3);
    let mut other = identity(500, &profile);
    Cache::open(dir.path(), Some(&other)).unwrap();
    other.provenance.insert("dtype".to_owned(), "bf16".to_owned());
    Cache::open(dir.path(), Some(&other)).unwrap();
    other.vocab_size = 501;
    other.teacher.config.insert("rope_theta".to_owned(), "10000.0".to_owned());
    let error = Cache::open(dir.path(), Some(&other)).err().unwrap().to_string();
    assert!(
        error.contains("\n    teacher.config.rope_theta: expected 10000.0, found 500000.0"),
        "{error}"
    );
    assert!(error.contains("\n    vocab_size: expected 501, found 500"), "{error}");
    let refused = CacheWriter::open(dir.path(), &other, profile).err().unwrap();
    assert!(matches!(refused, LogitError::Other { .. }));
    let refused = CacheWriter::open(dir.path(), &identity(500, &profile), Profile::exact(8));
    let refused = refused.err().unwrap().to_string();
    assert!(
        refused.contains("`exact8` cannot be stored") && refused.contains("`sqrt8`"),
        "{refused}"
    );
}

#[test]
fn a_missing_or_shortened_shard_costs_its_own_samples_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(8);
    let samples = filled(dir.path(), &profile, 30);
    let whole = Cache::open(dir.path(), None).unwrap();
    let digest = whole.digest().unwrap();
    let lost: Vec<_> = whole.entries().filter(|e| e.shard == 1).map(|e| e.id).collect();
    let path = shard_file(dir.path(), 1);
    let good = fs::read(&path).unwrap();
    for cut in [None, Some(0), Some(100), Some(good.len() - 1)] {
        fs::remove_file(&path).unwrap();
        if let Some(cut) = cut {
            fs::write(&path, &good[..cut]).unwrap();
        }
        let cache = Cache::open(dir.path(), None).unwrap();
        assert_eq!(cache.lost().len(), 1);
        assert_eq!(cache.lost()[0].path, path);
        for sample in &samples {
            assert_eq!(cache.contains(sample.id), !lost.contains(&sample.id));
        }
        let verdict = verify(dir.path(), 0, None).unwrap();
        assert_eq!(verdict.findings.len(), 1);
        assert!(verdict.findings[0].is_damage && verdict.findings[0].path == path);
        assert!(merge(&dir.path().join("into"), dir.path()).is_err());
        if cut.is_none() {
            fs::write(&path, b"").unwrap();
        }
    }
    // Captured again, it has the same content, and so the same name.
    let identity = identity(500, &profile);
    retire(dir.path(), std::slice::from_ref(&path)).unwrap();
    assert!(Cache::open(dir.path(), None).unwrap().lost().is_empty());
    let mut writer = CacheWriter::with_sizes(dir.path(), &identity, profile, SMALL).unwrap();
    for sample in samples.iter().filter(|sample| lost.contains(&sample.id)) {
        writer.push(sample).unwrap();
    }
    writer.commit().unwrap();
    let again = Cache::open(dir.path(), None).unwrap();
    assert_eq!(again.digest().unwrap(), digest);
    assert!(matches!(retire(dir.path(), &["data/x".into()]), Err(LogitError::BadCommit { .. })));
}

#[test]
fn whichever_byte_of_a_shard_is_flipped_it_is_found_before_anything_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let samples = filled(dir.path(), &Profile::top(8), 4);
    let path = shard_file(dir.path(), 0);
    let good = fs::read(&path).unwrap();
    let ids: Vec<_> = samples.iter().map(|sample| sample.id).collect();
    let cache = Cache::open(dir.path(), None).unwrap();
    assert_eq!(cache.shards().len(), 1);
    let expected = cache.read(&ids, None).unwrap();
    drop(cache);
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        // Found when it is opened, or when it is read; never served.
        let cache = Cache::open(dir.path(), None).unwrap();
        if cache.lost().is_empty() {
            match cache.read(&ids, None) {
                Err(LogitError::Shard(ShardError::Hash { path: named, .. })) => {
                    assert_eq!(Path::new(&named), path);
                }
                Err(error) => panic!("byte {at}: {error:?}"),
                Ok(_) => panic!("byte {at} was served"),
            }
        }
        for level in [1, 2] {
            let verdict = verify(dir.path(), level, None).unwrap();
            assert!(!verdict.is_good(), "byte {at}");
            assert!(verdict.findings.iter().all(|finding| finding.path == path));
        }
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(Cache::open(dir.path(), None).unwrap().read(&ids, None).unwrap(), expected);
}

#[test]
fn a_sample_that_cannot_be_stored_leaves_the_others_be() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(8);
    let identity = identity(500, &profile);
    let good = samples(&identity, &profile, 6);
    let mut writer = CacheWriter::open(dir.path(), &identity, profile).unwrap();
    for (n, sample) in good.iter().enumerate() {
        writer.push(sample).unwrap();
        let mut bad = sample.clone();
        match n % 3 {
            0 => bad.ids[0] = 500,
            1 => bad.log_probs[1] = 0.0,
            _ => bad.tail[0] = f32::NAN,
        }
        let error = writer.push(&bad).unwrap_err();
        assert!(error.to_string().contains(&sample.id.to_string()), "{error}");
        assert!(error.to_string().contains("position 0"), "{error}");
    }
    writer.commit().unwrap();
    assert_eq!(Cache::open(dir.path(), None).unwrap().len(), 6);
    assert!(verify(dir.path(), 2, None).unwrap().findings.is_empty());
}

/// A row group that is whole by its hashes, and holds nonsense all the same: a writer's own fault.
#[test]
fn the_second_level_finds_rows_that_were_wrong_when_they_were_hashed() {
    let profile = Profile::top(8);
    let identity = identity(500, &profile);
    let sample = &samples(&identity, &profile, 3)[2];
    let good = stored::Row::encode(sample, &profile, 500).unwrap();
    let spoils: [(&str, &dyn Fn(&mut stored::Row)); 4] = [
        ("id 501 is out of range", &|row| row.lists[stored::List::Ids as usize][3] = 501),
        ("run beyond 255", &|row| row.lists[stored::List::Codes as usize][..3].fill(200)),
        ("have a mass of", &|row| row.lists[stored::List::First as usize][0] = 0),
        ("`ids` has", &|row| drop(row.lists[stored::List::Ids as usize].drain(..1))),
    ];
    for (message, spoil) in spoils {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = CacheWriter::open(dir.path(), &identity, profile).unwrap();
        let mut bad = good.clone();
        spoil(&mut bad);
        writer.push_row(good.by_ref()).unwrap();
        writer.push_row(bad.by_ref()).unwrap();
        writer.commit().unwrap();
        assert!(verify(dir.path(), 1, None).unwrap().is_good());
        let verdict = verify(dir.path(), 2, None).unwrap();
        let finding = &verdict.findings[0];
        assert!(finding.what.contains(message), "{finding}");
        assert!(finding.what.contains("row 1 of row group 0"), "{finding}");
        assert_eq!(finding.path, shard_file(dir.path(), 0));
    }
}

#[test]
fn levels_that_need_the_teacher_ask_for_one_and_hand_over_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), &Profile::top(8), 4);
    for level in [3, 4, 5] {
        let error = verify(dir.path(), level, None).err().unwrap();
        assert!(matches!(error, LogitError::Level { .. }), "{error}");
    }
    let mut levels = vec![];
    let mut teacher = |level: u8, cache: &Cache| {
        levels.push((level, cache.len()));
        let (path, what) = (cache.path().to_owned(), "top-1 agreement is 0.2".to_owned());
        Ok(vec![Finding { level, is_damage: level == 3, path, what }])
    };
    let verdict = verify(dir.path(), 4, Some(&mut teacher)).unwrap();
    assert!(!verdict.is_good() && verdict.findings.len() == 2);
    assert_eq!(levels, [(3, 4), (4, 4)]);
    let mut fails = |_: u8, _: &Cache| Err("out of memory".into());
    assert!(matches!(verify(dir.path(), 3, Some(&mut fails)), Err(LogitError::Teacher(_))));
}
