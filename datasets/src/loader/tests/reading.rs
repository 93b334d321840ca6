//! Windows: who decodes them, when, and what if it cannot be done.

use super::*;

/// Row groups whose reading can be made slow, or to fail.
struct Odd {
    inner: Arc<Memory>,
    slow: Duration,
    fail: AtomicU64,
    panic: AtomicU64,
    more: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Odd {
    fn new(inner: &Arc<Memory>, slow: Duration) -> Arc<Self> {
        let never = || AtomicU64::new(NEVER);
        let inner = Arc::clone(inner);
        Arc::new(Self { inner, slow, fail: never(), panic: never(), more: never() })
    }
}

impl Groups for Odd {
    fn sizes(&self) -> &[GroupSize] {
        self.inner.sizes()
    }

    fn read(&self, group: usize, out: &mut TokenLists) -> Result<(), GroupError> {
        std::thread::sleep(self.slow);
        let is = |which: &AtomicU64| which.load(Relaxed) == group as u64;
        if is(&self.fail) {
            return Err("the disk is on fire".into());
        }
        assert!(!is(&self.panic), "as told");
        self.inner.read(group, out)?;
        if is(&self.more) {
            out.tokens.push(1);
            out.bounds.push(u32::try_from(out.tokens.len())?);
        }
        Ok(())
    }

    fn lengths(&self, group: usize) -> Result<Vec<u32>, GroupError> {
        self.inner.lengths(group)
    }

    fn digest(&self) -> String {
        self.inner.digest()
    }
}

fn odd_source(groups: &Arc<Odd>) -> Source {
    let groups = Arc::clone(groups) as Arc<dyn Groups>;
    Source { name: "a".into(), groups, weight: 1.0, epochs: Some(1), pack_plan: None }
}

/// Row groups of 10 lists of 10 tokens.
fn even(groups: u32) -> Arc<Memory> {
    let group = |g: u32| TokenLists {
        tokens: (0..100).map(|i| g * 100 + i).collect(),
        bounds: (0..=10).map(|i| i * 10).collect(),
    };
    Memory::of((0..groups).map(group).collect())
}

fn window_a_group() -> Settings {
    Settings { window_tokens: Some(1), ..settings(10, Shuffle::None, Method::Concat) }
}

#[test]
fn a_window_is_decoded_once_whoever_asks() {
    let groups = even(4);
    let odd = Odd::new(&groups, Duration::from_millis(30));
    let settings = Settings { read_ahead: 0, ..window_a_group() };
    let loader = Loader::open(vec![odd_source(&odd)], &settings).unwrap();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (loader, barrier) = (&loader, &barrier);
            scope.spawn(move || {
                barrier.wait();
                assert_eq!(get(loader, 10 + i).tokens[0], 100 + 10 * u32::try_from(i).unwrap());
            });
        }
    });
    assert_eq!(groups.reads.load(Relaxed), 1);
    let stats = &loader.stats()[0];
    assert_eq!((stats.windows_decoded, stats.sequences, stats.tokens), (1, 8, 80));
    assert_eq!((stats.bytes_read, stats.padding), (200, 0));
    assert!(stats.wait_ns >= 8 * 20_000_000, "all eight waited");
    get(&loader, 11);
    assert_eq!(loader.stats()[0].cache_hits, 1);
}

#[test]
fn the_next_window_is_read_while_this_one_is_used() {
    let groups = even(4);
    let odd = Odd::new(&groups, Duration::from_millis(5));
    let loader = Loader::open(vec![odd_source(&odd)], &window_a_group()).unwrap();
    get(&loader, 0);
    let begun = Instant::now();
    while loader.stats()[0].windows_decoded < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody reads ahead");
        std::thread::sleep(Duration::from_millis(1));
    }
    let before = loader.stats()[0].wait_ns;
    get(&loader, 12);
    assert_eq!(loader.stats()[0].wait_ns, before, "it was there");
    // Dropped with a window on its way, it ends.
    drop(loader);
    let reads = groups.reads.load(Relaxed);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(groups.reads.load(Relaxed), reads, "no thread is left behind");
}

#[test]
fn what_fails_ahead_is_an_error_at_the_sequences_that_need_it_and_is_tried_again() {
    for read_ahead in [0, 1] {
        let odd = Odd::new(&even(4), Duration::ZERO);
        let settings = Settings { read_ahead, ..window_a_group() };
        let loader = Loader::open(vec![odd_source(&odd)], &settings).unwrap();
        let error = |index| loader.fill(index, &mut Sequence::default()).unwrap_err();
        odd.fail.store(1, Relaxed);
        (0..9).for_each(|index| drop(get(&loader, index)));
        std::thread::sleep(Duration::from_millis(20));
        // Sequence 9 ends with the first token of the window that fails.
        for index in 9..20 {
            let error = error(index);
            assert_eq!(error.to_string(), "cannot read row group 1 of source \"a\"");
            let cause = std::error::Error::source(&error).unwrap();
            assert_eq!(cause.to_string(), "the disk is on fire");
        }
        (20..30).for_each(|index| drop(get(&loader, index)));
        odd.fail.store(NEVER, Relaxed);
        assert_eq!(get(&loader, 9).tokens, (90..=100).collect::<Vec<_>>());
        odd.panic.store(3, Relaxed);
        let loader = Loader::open(vec![odd_source(&odd)], &settings).unwrap();
        let error = loader.fill(35, &mut Sequence::default()).unwrap_err();
        assert!(matches!(error, LoadError::Panicked { .. }), "{error}");
        odd.panic.store(NEVER, Relaxed);
        get(&loader, 35);
    }
}

#[test]
fn a_row_group_that_is_not_what_was_said_is_an_error() {
    let odd = Odd::new(&even(4), Duration::ZERO);
    odd.more.store(2, Relaxed);
    let loader = Loader::open(vec![odd_source(&odd)], &window_a_group()).unwrap();
    let error = loader.fill(25, &mut Sequence::default()).unwrap_err();
    assert_eq!(error.to_string(), "row group 2 of source \"a\" has 11 rows, expected 10");
    let settings = Settings { vocab_size: 257, ..window_a_group() };
    odd.more.store(NEVER, Relaxed);
    let loader = Loader::open(vec![odd_source(&odd)], &settings).unwrap();
    // Of the window only the sequence that has the token in it.
    (15..25).for_each(|index| drop(get(&loader, index)));
    let error = loader.fill(25, &mut Sequence::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "token 7 of row 5 in row group 2 of source \"a\" is 257, expected an id below the \
         vocabulary's 257"
    );
}
