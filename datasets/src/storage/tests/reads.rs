//! Reading that succeeds: of a server of S3, and of this machine.

use std::fs;
use std::time::{Duration, Instant};

use super::faulty::{Answer, Faulty};
use super::s3::{KEYS, S3};
use super::*;

/// A bucket with two shards, and what a listing leaves out.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("bucket/set");
    fs::create_dir_all(set.join("en/.hidden")).unwrap();
    fs::create_dir_all(set.join("_tmp")).unwrap();
    fs::write(set.join("b.parquet"), content(300_001)).unwrap();
    fs::write(set.join("en/a b.parquet"), content(1000)).unwrap();
    fs::write(set.join("empty"), "").unwrap();
    for left_out in ["_SUCCESS", ".b.parquet.crc", "en/.hidden/x", "_tmp/y"] {
        fs::write(set.join(left_out), "x").unwrap();
    }
    fs::write(folder.path().join("bucket/settle"), "of another prefix").unwrap();
    folder
}

fn names(found: &[Found]) -> Vec<(&str, u64)> {
    found.iter().map(|found| (&*found.name, found.bytes)).collect()
}

fn check_set(storage: &Storage) {
    let found = storage.list().unwrap();
    assert_eq!(names(&found), [("b.parquet", 300_001), ("empty", 0), ("en/a b.parquet", 1000)]);
    let whole = content(300_001);
    for file in
        [storage.found(&found[0]).unwrap(), storage.file("b.parquet", Some(300_001)).unwrap()]
    {
        assert_eq!(file.len(), 300_001);
        // One part, parts and a rest, the end.
        for range in [0..10, 65_536..65_537, 1..300_001, 300_000..300_001, 0..300_001] {
            let expected = part(&whole, &range);
            assert_eq!(file.read(range.clone()).unwrap(), expected);
            file.will_need(range.clone());
            assert_eq!(file.read(range.clone()).unwrap(), expected);
            assert_eq!(file.refetch(range).unwrap(), expected);
        }
        assert_eq!(file.read(7..7).unwrap(), &[][..]);
        #[expect(clippy::reversed_empty_ranges, reason = "wrong on purpose")]
        for range in [0..300_002, 9..8, u64::MAX - 1..u64::MAX] {
            let error = file.read(range).unwrap_err();
            assert!(matches!(StorageError::within(&error), Some(StorageError::OutOfRange { .. })));
        }
    }
    assert_eq!(storage.found(&found[1]).unwrap().read(0..0).unwrap(), &[][..]);
    assert_eq!(storage.found(&found[2]).unwrap().read(10..1000).unwrap(), content(1000)[10..]);
    assert_eq!(storage.read_small("en/a b.parquet").unwrap(), content(1000));
    assert!(matches!(storage.file("none", None).unwrap_err(), StorageError::Missing { .. }));
    assert!(matches!(storage.read_small("none").unwrap_err(), StorageError::Missing { .. }));
    assert!(matches!(
        storage.file("b.parquet", Some(3)).unwrap_err(),
        StorageError::Size { expected: 3, .. }
    ));
    for name in ["../settle", "en/../../settle", "a//b"] {
        assert!(
            matches!(storage.file(name, None).unwrap_err(), StorageError::BadName { .. }),
            "{name}"
        );
    }
}

/// The settings of a client.
fn client(server: &S3, options: Options) -> Options {
    KEYS.into_iter()
        .fold(options, |options, (key, value)| options.with(key, value))
        .with("AWS_ENDPOINT_URL", &server.endpoint)
}

#[test]
fn files_of_s3_are_listed_and_read() {
    let folder = folder();
    let server = S3::over(folder.path());
    let open = |url: &str| {
        Storage::open(&Location::parse(url).unwrap(), client(&server, hasty())).unwrap()
    };
    check_set(&open("s3://bucket/set"));
    check_set(&open("s3://bucket/set/"));
    assert_eq!(open("s3://bucket").list().unwrap().len(), 4);
    let one = open("s3://bucket/set/b.parquet");
    let found = one.list().unwrap();
    assert_eq!(names(&found), [("", 300_001)]);
    assert_eq!(one.found(&found[0]).unwrap().read(5..9).unwrap(), content(9)[5..]);
    assert!(matches!(open("s3://bucket/none").list().unwrap_err(), StorageError::Missing { .. }));
    assert!(matches!(open("s3://bucket/none/").list().unwrap_err(), StorageError::Missing { .. }));
}

#[test]
fn files_of_this_machine_are_listed_and_read_by_the_same_names() {
    let folder = folder();
    let root = folder.path().join("bucket/set");
    // A loop, which a walk that follows links would not leave.
    std::os::unix::fs::symlink(&root, root.join("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
    let open =
        |path: &std::path::Path| Storage::open(&Location::Local(path.to_owned()), hasty()).unwrap();
    check_set(&open(&root));
    assert_eq!(names(&open(&root.join("b.parquet")).list().unwrap()), [("", 300_001)]);
    assert!(matches!(open(&root.join("none")).list().unwrap_err(), StorageError::Missing { .. }));

    let file = open(&root).file("b.parquet", None).unwrap();
    assert_eq!(file.local_path(), Some(&*root.join("b.parquet")));
    fs::OpenOptions::new().write(true).open(root.join("b.parquet")).unwrap().set_len(9).unwrap();
    let error = file.read(0..5).unwrap_err();
    assert!(matches!(StorageError::within(&error), Some(StorageError::Changed { .. })), "{error}");
}

#[test]
fn a_file_of_s3_that_is_replaced_is_an_error_that_says_so() {
    let folder = folder();
    let server = S3::over(folder.path());
    let location = Location::parse("s3://bucket/set").unwrap();
    let storage = Storage::open(&location, client(&server, hasty())).unwrap();
    let file = storage.file("b.parquet", None).unwrap();
    let mut other = content(300_001);
    other[200_000] ^= 1;
    fs::write(folder.path().join("bucket/set/b.parquet"), &other).unwrap();
    let error = file.read(0..10).unwrap_err();
    assert!(matches!(StorageError::within(&error), Some(StorageError::Changed { .. })), "{error}");
    fs::remove_file(folder.path().join("bucket/set/b.parquet")).unwrap();
    assert_eq!(file.read(0..10).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn wrong_keys_and_wrong_settings_are_told_as_such() {
    let folder = folder();
    let server = S3::over(folder.path());
    let location = Location::parse("s3://bucket/set").unwrap();
    let wrong = client(&server, hasty()).with("AWS_SECRET_ACCESS_KEY", "wrong");
    let error = Storage::open(&location, wrong).unwrap().list().unwrap_err();
    assert!(matches!(error, StorageError::Denied { .. }), "{error}");
    let unknown = client(&server, hasty()).with("AWS_ENDPIONT_URL", "x");
    assert!(
        matches!(Storage::open(&location, unknown).unwrap_err(), StorageError::UnknownSetting { key, .. } if key == "AWS_ENDPIONT_URL")
    );
    let half = hasty().with("AWS_ACCESS_KEY_ID", "key").with("AZURE_SKIP_SIGNATURE", "true");
    assert!(matches!(Storage::open(&location, half).unwrap_err(), StorageError::Setup { .. }));
    // No keys, and where a machine of the cloud would be asked, no one listens.
    let none = hasty().with("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9");
    let error = Storage::open(&location, none).unwrap_err();
    assert!(matches!(error, StorageError::NoCredentials { .. }), "{error}");
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    let az = Location::parse("az://container/x").unwrap();
    let error = Storage::open(&az, hasty()).unwrap_err();
    assert!(error.to_string().contains("AZURE_STORAGE_ACCOUNT_NAME"), "{error}");
}

#[test]
fn http_cannot_list_but_a_url_is_a_file() {
    let server = Faulty::new(&content(5000), &[], Answer::Right("\"one\""));
    let folder =
        Storage::open(&Location::parse(&format!("{}/", server.url)).unwrap(), hasty()).unwrap();
    assert!(matches!(folder.list().unwrap_err(), StorageError::NotListable { .. }));
    let file = Storage::open(&Location::parse(&server.url).unwrap(), hasty()).unwrap();
    let found = file.list().unwrap();
    assert_eq!(names(&found), [("", 5000)]);
    assert_eq!(file.found(&found[0]).unwrap().read(1..5000).unwrap(), content(5000)[1..]);
    assert_eq!(file.read_small("").unwrap(), content(5000));
}

#[test]
fn what_is_fetched_ahead_is_bounded_and_a_read_never_waits_for_room() {
    let server = Faulty::new(&content(100_000), &[], Answer::Right("\"one\""));
    let options = Options { ahead_bytes: 20_000, ..hasty() };
    let storage = Storage::open(&Location::parse(&server.url).unwrap(), options).unwrap();
    let file = storage.file("a", None).unwrap();
    let ranges: Vec<_> = (0..10).map(|n| n * 10_000..(n + 1) * 10_000).collect();
    for range in &ranges {
        file.will_need(range.clone());
        file.will_need(range.clone());
    }
    let started = Instant::now();
    while !file.is_ready(&ranges[0]) {
        assert!(started.elapsed() < Duration::from_secs(2));
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(100));
    // Ten thousand bytes are three blocks of memory, and there are five.
    assert_eq!(server.requests(), 1);
    // The last one is far behind in the line; its reader fetches it.
    assert_eq!(file.read(90_000..100_000).unwrap(), content(100_000)[90_000..]);
    assert_eq!(server.requests(), 2);
    // In two halves: only the second frees the room.
    assert_eq!(file.read(0..4_000).unwrap(), content(4_000));
    assert_eq!(file.read(4_000..10_000).unwrap(), content(10_000)[4_000..]);
    for range in &ranges[1..9] {
        assert_eq!(file.read(range.clone()).unwrap(), part(&content(100_000), range));
    }
    let counts = storage.counts();
    assert_eq!(server.requests(), 10, "no range was fetched twice");
    assert!(counts.ahead_hits >= 2, "{counts:?}");
    // Dropped with ranges on their way: no one waits for them, and the next file gets their room.
    for range in &ranges {
        file.will_need(range.clone());
    }
    drop(file);
    let other = storage.file("b", None).unwrap();
    other.will_need(0..20_000);
    let started = Instant::now();
    while !other.is_ready(&(0..20_000)) {
        assert!(started.elapsed() < Duration::from_secs(2));
        std::thread::yield_now();
    }
}

#[test]
fn many_threads_read_at_once() {
    let folder = folder();
    let server = S3::over(folder.path());
    let storage = Storage::open(
        &Location::parse("s3://bucket/set").unwrap(),
        client(&server, Options { timeout: Duration::from_secs(5), ..hasty() }),
    )
    .unwrap();
    let file = storage.file("b.parquet", None).unwrap();
    let whole = content(300_001);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (file, whole) = (file.clone(), &whole);
            scope.spawn(move || {
                for n in 0..20 {
                    let start = (thread * 7919 + n * 14_983) % 290_000;
                    file.will_need(start..start + 10_000);
                    let read = file.read(start..start + 10_000).unwrap();
                    assert_eq!(read, part(whole, &(start..start + 10_000)));
                }
            });
        }
    });
    assert_eq!(storage.counts().bytes_in_flight, 0);
}

#[test]
#[ignore = "measures; run it alone"]
fn measure_reads_of_the_loopback_and_of_the_cache() {
    let (length, folder) = (64 << 20, tempfile::tempdir().unwrap());
    let bytes = content(length);
    let server = Faulty::new(&bytes, &[], Answer::Right("\"one\""));
    let options = Options {
        cache_bytes: 1 << 30,
        cache_folder: Some(folder.path().to_owned()),
        ..Options::default()
    };
    let storage = Storage::open(&Location::parse(&server.url).unwrap(), options).unwrap();
    let file = storage.file("a", None).unwrap();
    let best = |name: &str, read: &dyn Fn() -> Bytes| {
        let times = (0..5).map(|_| {
            let started = Instant::now();
            let read = read();
            let time = started.elapsed();
            assert_eq!(read, bytes);
            storage.settle().unwrap();
            time
        });
        let best = times.min().unwrap();
        println!("{name}: {:.2} GB/s", length as f64 / best.as_secs_f64() / 1e9);
    };
    best("fetched", &|| file.refetch(0..length as u64).unwrap());
    best("of the cache", &|| file.read(0..length as u64).unwrap());
    let small = Instant::now();
    for n in 0..1000 {
        file.will_need(n * 4096..(n + 1) * 4096);
    }
    for n in 0..1000 {
        file.read(n * 4096..(n + 1) * 4096).unwrap();
    }
    println!("4096 bytes ahead: {:.0} us each", small.elapsed().as_secs_f64() * 1e3);
}
