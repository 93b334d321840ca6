//! The cache: whole entries or none, within its bound, and never an error.

use std::fs;
use std::time::Duration;

use super::super::tests::faulty::{Answer, Faulty};
use super::super::tests::{content, hasty};
use super::super::{Location, Options, Storage, Version};
use super::*;

fn cache(folder: &Path, bound: u64) -> Cache {
    Cache::new(folder.to_owned(), bound, Arc::default())
}

fn key(n: u64) -> Key {
    let version = Version { bytes: 100, etag: Some("\"e\"".into()), modified: 0 };
    let object = Object { path: "x".into(), url: "s3://b/x".into(), version };
    Key::new("", &object, &(n..n + 1)).unwrap()
}

fn used(folder: &Path) -> u64 {
    let folders = fs::read_dir(folder).unwrap().map(|folder| folder.unwrap().path());
    folders
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn an_entry_is_found_by_another_cache_of_the_folder_and_not_when_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(1000);
    cache(folder.path(), 1 << 20).put(&key(1), &bytes);
    let again = cache(folder.path(), 1 << 20);
    assert_eq!(again.get(&key(1), 1000).unwrap(), bytes);
    assert_eq!(again.get(&key(2), 1000), None);
    assert_eq!(again.stats.counts().cache_hits, 1);
    let path = again.path(&key(1));
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    // Every byte of the header, some of the content, a torn end, a tail, nothing.
    let mut damaged: Vec<Vec<u8>> = (0..24).chain([24, 500, 1023]).map(flipped).collect();
    damaged.extend([
        whole[..1000].to_vec(),
        [&whole[..], b"x"].concat(),
        Vec::new(),
        whole[..10].to_vec(),
    ]);
    let count = damaged.len() as u64;
    for bytes in damaged {
        fs::write(&path, bytes).unwrap();
        assert_eq!(again.get(&key(1), 1000), None);
        assert!(!path.exists(), "what is damaged is removed");
    }
    assert_eq!(again.stats.counts().cache_damaged, count);
    // Whole, but not of the length that is asked for.
    again.put(&key(1), &bytes);
    assert_eq!(again.get(&key(1), 999), None);
}

#[test]
fn a_key_names_the_store_the_file_its_version_and_the_range() {
    let version = |etag: &str| Version { bytes: 9, etag: Some(etag.into()), modified: 0 };
    let object = |url: &str, etag: &str| Object {
        path: "x".into(),
        url: url.into(),
        version: version(etag),
    };
    let keys = [
        Key::new("", &object("s3://b/x", "1"), &(0..5)),
        Key::new("other", &object("s3://b/x", "1"), &(0..5)),
        Key::new("", &object("s3://b/y", "1"), &(0..5)),
        Key::new("", &object("s3://b/x", "2"), &(0..5)),
        Key::new("", &object("s3://b/x", "1"), &(0..6)),
    ];
    let distinct: std::collections::HashSet<String> =
        keys.into_iter().map(|key| key.unwrap().0).collect();
    assert_eq!(distinct.len(), 5);
    let anonymous = Version { bytes: 9, etag: None, modified: 0 };
    let object = Object { path: "x".into(), url: "http://h/x".into(), version: anonymous };
    assert_eq!(Key::new("", &object, &(0..5)), None);
}

#[test]
fn the_oldest_entries_go_and_the_bound_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (bound, bytes) = (10_500, content(1000));
    let cache = cache(folder.path(), bound);
    for n in 0..10 {
        cache.put(&key(n), &bytes);
        // Times on disk have a grain.
        let time = SystemTime::now() - Duration::from_secs(100 - n);
        File::options().write(true).open(cache.path(&key(n))).unwrap().set_modified(time).unwrap();
        assert!(used(folder.path()) <= bound);
    }
    assert!(cache.get(&key(0), 1000).is_some(), "a hit makes it the newest");
    cache.put(&key(10), &bytes);
    assert!(used(folder.path()) <= bound);
    let there: Vec<u64> = (0..11).filter(|n| cache.path(&key(*n)).exists()).collect();
    // 9187 bytes are seven eighths of the bound, and an entry has 1024: eight remain, with the new one.
    assert_eq!(there, [0, 4, 5, 6, 7, 8, 9, 10]);
    assert!(cache.stats.counts().cache_evictions > 0);
    for n in 20..200 {
        cache.put(&key(n), &bytes);
        assert!(used(folder.path()) <= bound);
    }
    cache.put(&key(300), &content(20_000));
    assert_eq!(cache.get(&key(300), 20_000), None, "what is larger than the bound is not kept");
}

#[test]
fn many_caches_of_one_folder_get_whole_entries_and_keep_near_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let bound = 200_000;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = cache(folder.path(), bound);
            scope.spawn(move || {
                for n in 0..200 {
                    let key = key((n * 7 + thread) % 100);
                    match cache.get(&key, 5000) {
                        Some(found) => assert_eq!(found, content(5000)),
                        None => cache.put(&key, &content(5000)),
                    }
                }
                assert_eq!(cache.stats.counts().cache_damaged, 0);
                assert_eq!(cache.stats.counts().cache_note, None);
            });
        }
    });
    assert!(used(folder.path()) <= bound + 4 * (bound / 16 + 5024), "{}", used(folder.path()));
}

#[test]
fn what_a_dead_process_left_is_removed_and_what_is_being_written_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let sub = folder.path().join("ab");
    fs::create_dir(&sub).unwrap();
    for (name, age) in [(".1-0.tmp", 7200), (".2-0.tmp", 10)] {
        let file = File::create(sub.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    cache(folder.path(), 1 << 20).put(&key(1), b"x");
    assert!(!sub.join(".1-0.tmp").exists() && sub.join(".2-0.tmp").exists());
}

#[test]
fn a_full_disk_turns_the_cache_off_with_a_note_and_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), 1 << 20);
    cache.put(&key(1), &content(100));
    let full = trial::Failing::on_this_thread(1);
    cache.put(&key(2), &content(100));
    drop(full);
    assert!(cache.stats.counts().cache_note.unwrap().contains("is off"));
    assert_eq!(used(folder.path()), 124, "nothing of the second is left");
    cache.put(&key(3), &content(100));
    assert_eq!(cache.get(&key(3), 100), None, "it is off");
    assert!(cache.get(&key(1), 100).is_some(), "but what is there is read");
}

#[test]
fn a_folder_that_cannot_be_written_is_no_error_of_the_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let server = Faulty::new(&content(5000), &[], Answer::Right("\"one\""));
    let options =
        Options { cache_bytes: 1 << 20, cache_folder: Some(file.join("below")), ..hasty() };
    let storage = Storage::open(&Location::parse(&server.url).unwrap(), options).unwrap();
    assert_eq!(storage.file("a", None).unwrap().read(0..5000).unwrap(), content(5000));
    storage.settle().unwrap();
    assert!(storage.counts().cache_note.is_some());
}

#[test]
fn a_second_run_asks_the_store_for_nothing_and_a_refetch_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = Faulty::new(&content(50_000), &[], Answer::Right("\"one\""));
    let options =
        Options { cache_bytes: 1 << 20, cache_folder: Some(folder.path().to_owned()), ..hasty() };
    let open = || Storage::open(&Location::parse(&server.url).unwrap(), options.clone()).unwrap();
    let first = open();
    assert_eq!(
        first.file("a", None).unwrap().read(10..40_000).unwrap(),
        content(50_000)[10..40_000]
    );
    first.settle().unwrap();
    assert_eq!((server.requests(), first.counts().cache_misses), (1, 1));

    let second = open();
    let file = second.file("a", None).unwrap();
    assert_eq!(file.read(10..40_000).unwrap(), content(50_000)[10..40_000]);
    file.will_need(10..40_000);
    assert_eq!(file.read(100..40_000).unwrap(), content(50_000)[100..40_000]);
    assert_eq!((server.requests(), second.counts().cache_hits), (1, 2));
    // Of a part: what holds it goes too, or the next run would find the damage again.
    assert_eq!(file.refetch(100..200).unwrap(), content(50_000)[100..200]);
    second.settle().unwrap();
    assert_eq!(server.requests(), 2);
    assert_eq!(file.read(10..40_000).unwrap(), content(50_000)[10..40_000]);
    assert_eq!(server.requests(), 3);
}
