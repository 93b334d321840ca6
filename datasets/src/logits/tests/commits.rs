//! Killed anywhere, disk full anywhere: what was committed is there.

use super::*;
use crate::store::{StoreError, trial};

/// How many samples the cache has, all of them whole; 0 if it is none yet.
fn whole(dir: &Path) -> usize {
    match Cache::open(dir, None) {
        Ok(cache) => {
            assert!(cache.lost().is_empty());
            let verdict = verify(dir, 2, None).unwrap();
            assert!(verdict.is_good(), "{:?}", verdict.findings);
            cache.len()
        }
        Err(LogitError::NotACache { .. }) => 0,
        Err(error) => panic!("{error:?}"),
    }
}

/// Adds what is not there yet, as a capture that goes on does.
fn go_on(dir: &Path, samples: &[Scored], profile: Profile) -> Result<(), LogitError> {
    let identity = identity(500, &profile);
    let mut writer = CacheWriter::with_sizes(dir, &identity, profile, SMALL)?;
    let cache = Cache::open(dir, None)?;
    for sample in samples.iter().filter(|sample| !cache.contains(sample.id)) {
        writer.push(sample)?;
    }
    writer.commit().map(drop)
}

#[test]
fn an_abort_at_any_point_loses_nothing_that_was_committed() {
    let profile = Profile::top(8);
    let identity = identity(500, &profile);
    let all = samples(&identity, &profile, 40);
    // The child is this test binary, told by the environment to be the victim.
    if let Ok(dir) = std::env::var("STILLFLOW_TEST_CACHE_VICTIM") {
        go_on(Path::new(&dir), &all, profile).unwrap();
        return;
    }
    let plain = tempfile::tempdir().unwrap();
    go_on(plain.path(), &all, profile).unwrap();
    let expected = Cache::open(plain.path(), None).unwrap().digest().unwrap();
    for point in trial::POINTS.iter().filter(|point| **point != "collected") {
        let dir = tempfile::tempdir().unwrap();
        let mut before = 0;
        for n in [1, 2, 3, 4, 6] {
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "an_abort_at_any_point_loses_nothing_that_was_committed",
                    "--test-threads=1",
                ])
                .env("STILLFLOW_TEST_CACHE_VICTIM", dir.path())
                .env("STILLFLOW_ABORT", format!("{point}:{n}"))
                .output()
                .unwrap()
                .status;
            let after = whole(dir.path());
            assert!(after >= before, "{point}:{n} lost {before} to {after} samples");
            assert!(!status.success() || after == all.len(), "{point}:{n} was never reached");
            before = after;
        }
        go_on(dir.path(), &all, profile).unwrap();
        assert_eq!(Cache::open(dir.path(), None).unwrap().digest().unwrap(), expected, "{point}");
    }
}

#[test]
fn whichever_file_operation_fails_what_was_committed_is_there_and_the_rest_can_be_added() {
    let profile = Profile::top(8);
    let identity = identity(500, &profile);
    let all = samples(&identity, &profile, 24);
    let plain = tempfile::tempdir().unwrap();
    go_on(plain.path(), &all, profile).unwrap();
    let expected = Cache::open(plain.path(), None).unwrap().digest().unwrap();
    let mut k = 1;
    loop {
        let dir = tempfile::tempdir().unwrap();
        go_on(dir.path(), &all[..8], profile).unwrap();
        let failing = trial::Failing::on_this_thread(k);
        let result = go_on(dir.path(), &all, profile);
        let all_done = failing.operations() < k;
        drop(failing);
        assert!(whole(dir.path()) >= 8, "operation {k} lost something");
        if all_done {
            result.unwrap();
            break;
        }
        let error = result.unwrap_err();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull).to_string();
        assert!(cause.to_string().contains(&full), "operation {k}: {error:?}");
        go_on(dir.path(), &all, profile).unwrap();
        assert_eq!(Cache::open(dir.path(), None).unwrap().digest().unwrap(), expected);
        k += 1;
    }
    assert!(k > 20, "{k} operations");
}

#[test]
fn a_writer_that_is_dropped_leaves_no_trace_and_a_shard_without_a_commit_is_only_noted() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::top(8);
    let before = filled(dir.path(), &profile, 4);
    let identity = identity(500, &profile);
    let more = samples(&identity, &profile, 9);
    let mut writer = CacheWriter::open(dir.path(), &identity, profile).unwrap();
    for sample in &more[4..] {
        writer.push(sample).unwrap();
    }
    drop(writer);
    assert_eq!(whole(dir.path()), 4);
    assert!(dir.path().join("tmp").read_dir().unwrap().next().is_none());
    // Written and named, and then the process is gone.
    let mut writer = CacheWriter::open(dir.path(), &identity, profile).unwrap();
    for sample in &more[4..] {
        writer.push(sample).unwrap();
    }
    let added = writer.end_shard().unwrap().unwrap();
    drop(writer);
    let cache = Cache::open(dir.path(), None).unwrap();
    assert_eq!(cache.len(), before.len());
    let verdict = verify(dir.path(), 2, None).unwrap();
    assert!(verdict.is_good());
    assert_eq!(verdict.findings.len(), 1);
    assert_eq!(verdict.findings[0].path, dir.path().join(&added.shard.file));
    assert!(verdict.findings[0].to_string().starts_with("note: "), "{}", verdict.findings[0]);
}

#[test]
fn a_log_with_a_gap_or_a_damaged_commit_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), &Profile::top(8), 40);
    let commit = |n: u64| dir.path().join("_tlc/log").join(format!("{n:020}.json"));
    let good = std::fs::read(commit(1)).unwrap();
    std::fs::remove_file(commit(1)).unwrap();
    let Err(LogitError::NoCommit { path }) = Cache::open(dir.path(), None) else { panic!() };
    assert_eq!(path, commit(1));
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(commit(1), &bad).unwrap();
    let Err(LogitError::Store { path, source }) = Cache::open(dir.path(), None) else { panic!() };
    assert_eq!(path, commit(1));
    assert!(matches!(source, StoreError::ManifestDigest { .. } | StoreError::BadManifest { .. }));
    let verdict = verify(dir.path(), 0, None).unwrap();
    assert!(!verdict.is_good() && verdict.findings[0].path == commit(1));
    std::fs::write(commit(1), &good).unwrap();
    assert!(verify(dir.path(), 2, None).unwrap().is_good());
}
