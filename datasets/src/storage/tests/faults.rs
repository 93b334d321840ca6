//! What a store that fails on purpose leads to: the right bytes, or the right error, in time.

use std::time::{Duration, Instant};

use super::faulty::{Answer, Faulty};
use super::*;

const LENGTH: usize = 50_000;

fn file(server: &Faulty, options: Options) -> (Storage, StoredFile) {
    let storage = Storage::open(&Location::parse(&server.url).unwrap(), options).unwrap();
    let file = storage.file("a.parquet", Some(LENGTH as u64)).unwrap();
    (storage, file)
}

/// Reads all but the first byte of a file whose requests are answered so, and right after that.
fn read(answers: &[Answer]) -> (Result<Bytes, StorageError>, Duration, usize, Counts) {
    read_then(answers, Answer::Right("\"one\""))
}

fn read_then(
    answers: &[Answer],
    after: Answer,
) -> (Result<Bytes, StorageError>, Duration, usize, Counts) {
    let server = Faulty::new(&content(LENGTH), answers, after);
    let (storage, file) = file(&server, hasty());
    let started = Instant::now();
    let read = file.read(1..LENGTH as u64);
    let waited = started.elapsed();
    let read = read.map_err(|error| StorageError::within(&error).unwrap().clone());
    (read, waited, server.requests(), storage.counts())
}

#[track_caller]
fn assert_right(answers: &[Answer], at_most: Duration) {
    let (read, waited, requests, counts) = read(answers);
    assert_eq!(read.unwrap(), content(LENGTH)[1..]);
    assert!(waited < at_most, "{waited:?} for {answers:?}");
    assert_eq!(requests, answers.len() + 1, "{answers:?}");
    assert_eq!(counts.retries, answers.len() as u64);
    assert_eq!(counts.bytes_in_flight, 0);
}

#[test]
fn answers_that_pass_are_asked_for_again() {
    let second = Duration::from_secs(1);
    assert_right(&[], second);
    assert_right(
        &[Answer::Status(500, ""), Answer::Status(503, ""), Answer::Status(502, "")],
        second,
    );
    assert_right(&[Answer::Status(429, ""), Answer::Status(408, "")], second);
    assert_right(&[Answer::Reset, Answer::Reset], second);
    assert_right(&[Answer::Hang], second);
    assert_right(&[Answer::Stall(30_000)], second);
    assert_right(&[Answer::Trickle], second);
    assert_right(&[Answer::Cut(0), Answer::Cut(17), Answer::Cut(20_000)], second);
    assert_right(&[Answer::Less(1), Answer::Less(400)], second);
}

#[test]
fn what_came_before_a_cut_is_not_fetched_again() {
    let (read, _, _, counts) = read(&[Answer::Cut(20_000), Answer::Cut(20_000)]);
    assert_eq!(read.unwrap(), content(LENGTH)[1..]);
    assert_eq!(counts.bytes_fetched, LENGTH as u64 - 1);
}

#[test]
fn halves_of_a_file_without_a_version_are_not_put_together() {
    let (read, _, _, counts) = read_then(&[Answer::Cut(20_000)], Answer::Anonymous);
    assert_eq!(read.unwrap(), content(LENGTH)[1..]);
    assert_eq!(counts.bytes_fetched, LENGTH as u64 - 1 + 20_000);
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let (read, waited, requests, _) = read(&[Answer::Status(503, "Retry-After: 1\r\n")]);
    assert_eq!(read.unwrap(), content(LENGTH)[1..]);
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(requests, 2);
}

#[test]
fn answers_that_do_not_pass_are_errors_at_once() {
    let answer = |answer| {
        let (read, waited, requests, _) = read(&[answer]);
        assert!(waited < Duration::from_millis(500), "{waited:?}");
        assert_eq!(requests, 1);
        read.unwrap_err()
    };
    assert!(
        matches!(answer(Answer::Status(404, "")), StorageError::Missing { location, .. } if location.ends_with("/data/a.parquet"))
    );
    assert!(matches!(answer(Answer::Status(403, "")), StorageError::Denied { .. }));
    assert!(matches!(answer(Answer::Status(401, "")), StorageError::Denied { .. }));
    assert!(matches!(answer(Answer::Status(416, "")), StorageError::Refused { status: 416, .. }));
    assert!(matches!(answer(Answer::Status(302, "")), StorageError::Refused { status: 302, .. }));
    assert!(matches!(answer(Answer::Whole), StorageError::NoRanges { .. }));
}

#[test]
fn a_file_that_changes_is_an_error_that_says_so() {
    // By a server that heeds `If-Match`, by one that does not, and between two halves of one read.
    for answers in
        [&[Answer::Right("\"two\"")][..], &[Answer::Cut(20_000), Answer::Right("\"two\"")]]
    {
        let (read, _, requests, _) = read(answers);
        let error = read.unwrap_err();
        assert!(matches!(&error, StorageError::Changed { .. }), "{error}");
        assert!(error.to_string().contains("has changed since it was opened"));
        assert_eq!(requests, answers.len());
    }
    let server = Faulty::new(&content(LENGTH), &[], Answer::Right("\"one\""));
    let (storage, _) = file(&server, hasty());
    let found = Found {
        name: "a".into(),
        bytes: LENGTH as u64,
        etag: Some("W/\"old\"".into()),
        modified: 0,
    };
    let error = storage.found(&found).unwrap().read(0..9).unwrap_err();
    assert!(
        error.to_string().contains("W/\"old\"") && error.to_string().contains("\"one\""),
        "{error}"
    );
    assert!(matches!(
        storage.file("a", Some(7)).unwrap_err(),
        StorageError::Size { expected: 7, found: 50_000, .. }
    ));
}

#[test]
fn a_store_that_never_answers_is_given_up_after_the_attempts_or_the_deadline() {
    let server = Faulty::new(&content(LENGTH), &[], Answer::Status(500, ""));
    let (_storage, file) = file(&server, hasty());
    let error = file.read(0..9).unwrap_err();
    assert!(
        matches!(StorageError::within(&error), Some(StorageError::Exhausted { attempts: 5, .. })),
        "{error}"
    );
    assert_eq!(server.requests(), 5);

    let server = Faulty::new(&content(LENGTH), &[], Answer::Hang);
    let deadline = Duration::from_secs(1);
    let (_storage, file) = self::file(&server, Options { deadline, ..hasty() });
    let started = Instant::now();
    let error = file.read(0..9).unwrap_err();
    assert!(started.elapsed() < deadline + Duration::from_millis(500), "{:?}", started.elapsed());
    assert!(
        matches!(
            StorageError::within(&error),
            Some(StorageError::Exhausted { attempts: 2 | 3, .. })
        ),
        "{error}"
    );
}

#[test]
fn no_server_at_all_is_an_error_in_time() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/x", listener.local_addr().unwrap())
    };
    let storage = Storage::open(&Location::parse(&url).unwrap(), hasty()).unwrap();
    let started = Instant::now();
    assert!(matches!(
        storage.file("a", None).unwrap_err(),
        StorageError::Exhausted { attempts: 5, .. }
    ));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_failure_ahead_reaches_the_reader_and_the_next_read_tries_again() {
    let server =
        Faulty::new(&content(LENGTH), &[Answer::Status(404, "")], Answer::Right("\"one\""));
    let (_storage, file) = file(&server, hasty());
    file.will_need(0..1000);
    while server.requests() == 0 {
        std::thread::yield_now();
    }
    // The reader either came while it was under way, or after it had failed, and then asked for itself.
    if let Err(error) = file.read(0..1000) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
    assert_eq!(file.read(0..1000).unwrap(), content(LENGTH)[..1000]);
}

#[test]
fn a_length_that_no_memory_holds_is_an_error() {
    let server = Faulty::new(&content(10), &[], Answer::Right("\"one\""));
    let (bytes, etag) = (1 << 60, Some("\"one\"".to_owned()));
    let storage = Storage::open(&Location::parse(&server.url).unwrap(), hasty()).unwrap();
    let file = storage.found(&Found { name: "a".into(), bytes, etag, modified: 0 }).unwrap();
    let error = file.read(0..bytes).unwrap_err();
    assert!(matches!(StorageError::within(&error), Some(StorageError::TooLarge { .. })), "{error}");
    let error = file.read(0..10).unwrap_err();
    assert!(matches!(StorageError::within(&error), Some(StorageError::Changed { .. })), "{error}");
}
