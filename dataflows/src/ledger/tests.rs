//! The views against a plain recomputation, what is shown of them, and what they cost.

use std::time::Instant;

use super::*;

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A name that is a hash, of a number.
fn id(n: u64) -> u128 {
    let mut numbers = Numbers(n);
    u128::from(numbers.below(u64::MAX)) << 64 | u128::from(numbers.below(u64::MAX))
}

fn wanted(n: u64) -> Wanted {
    Wanted { id: id(n), source: u32::try_from(n % 3).unwrap(), tokens: 100 }
}

fn ids(range: std::ops::Range<u64>) -> Vec<u128> {
    range.map(id).collect()
}

fn sorted(mut ids: Vec<u128>) -> Vec<u128> {
    ids.sort_unstable();
    ids
}

/// The views, computed anew.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    missing: BTreeSet<u128>,
    garbage: u64,
    serving: BTreeMap<u32, u64>,
    coverage: BTreeMap<u32, Coverage>,
}

fn plainly(wanted: &[Wanted], shards: &BTreeMap<u32, Vec<u128>>) -> Plain {
    let mut serving: BTreeMap<u32, u64> = shards.keys().map(|shard| (*shard, 0)).collect();
    let mut has = BTreeMap::new();
    for (shard, ids) in shards {
        for id in ids {
            has.entry(*id).or_insert(*shard);
        }
    }
    let ids: BTreeSet<u128> = wanted.iter().map(|sample| sample.id).collect();
    for id in &ids {
        if let Some(shard) = has.get(id) {
            *serving.get_mut(shard).unwrap() += 1;
        }
    }
    let mut coverage = BTreeMap::<u32, Coverage>::new();
    let each: BTreeSet<_> = wanted.iter().map(|s| (s.id, s.source, s.tokens)).collect();
    for (id, source, tokens) in each {
        let coverage = coverage.entry(source).or_default();
        coverage.wanted += 1;
        coverage.wanted_tokens += u64::from(tokens);
        if has.contains_key(&id) {
            coverage.covered += 1;
            coverage.covered_tokens += u64::from(tokens);
        }
    }
    Plain {
        missing: ids.iter().filter(|id| !has.contains_key(id)).copied().collect(),
        garbage: has.keys().filter(|id| !ids.contains(id)).count() as u64,
        serving,
        coverage,
    }
}

fn seen(ledger: &Ledger) -> Plain {
    Plain {
        missing: ledger.missing().clone(),
        garbage: ledger.garbage(),
        serving: ledger.serving().clone(),
        coverage: ledger.coverage().clone(),
    }
}

#[test]
fn whatever_changes_the_views_are_what_a_recomputation_says() {
    for seed in 0..30 {
        let mut numbers = Numbers(seed);
        let mut ledger = Ledger::new();
        let (mut all, mut shards) = (Vec::<Wanted>::new(), BTreeMap::new());
        let mut before = BTreeSet::new();
        for _ in 0..40 {
            for _ in 0..numbers.below(4) {
                match numbers.below(4) {
                    0 => {
                        let some: Vec<Wanted> = (0..numbers.below(20))
                            .map(|_| {
                                let n = numbers.below(60);
                                let source = u32::try_from(numbers.below(3)).unwrap();
                                let tokens = u32::try_from(10 + n).unwrap();
                                Wanted { id: u128::from(n), source, tokens }
                            })
                            .collect();
                        ledger.want(some.clone()).unwrap();
                        all.extend(some);
                    }
                    1 => {
                        let mut some = vec![];
                        for _ in 0..numbers.below(10).min(all.len() as u64) {
                            let at = numbers.below(all.len() as u64);
                            some.push(all.swap_remove(usize::try_from(at).unwrap()));
                        }
                        ledger.give_up(some).unwrap();
                    }
                    2 => {
                        let shard = u32::try_from(numbers.below(12)).unwrap();
                        let ids = (0..numbers.below(25)).map(|_| numbers.below(70).into());
                        let ids: Vec<u128> = ids.collect();
                        let added = ledger.add_shard(shard, ids.clone());
                        assert_eq!(added.is_err(), shards.contains_key(&shard));
                        shards.entry(shard).or_insert(ids);
                    }
                    _ => {
                        let shard = u32::try_from(numbers.below(12)).unwrap();
                        let removed = ledger.remove_shard(shard);
                        assert_eq!(removed.is_ok(), shards.remove(&shard).is_some());
                    }
                }
            }
            let change = ledger.update();
            assert_eq!(seen(&ledger), plainly(&all, &shards), "seed {seed}");
            let now = ledger.missing();
            assert_eq!(change.capture, now.difference(&before).copied().collect::<Vec<_>>());
            assert_eq!(change.settled, before.difference(now).copied().collect::<Vec<_>>());
            before.clone_from(now);
        }
    }
}

#[test]
fn a_corpus_that_overlaps_by_half_is_captured_by_half() {
    let mut ledger = Ledger::new();
    ledger.want((0..1000).map(wanted)).unwrap();
    assert_eq!(ledger.update().capture.len(), 1000);
    ledger.add_shard(0, ids(0..1000)).unwrap();
    assert_eq!(ledger.update().settled.len(), 1000);
    // The same documents, wanted by another source as well, and as many new ones.
    let other = |n| Wanted { source: 7, ..wanted(n) };
    ledger.want((500..1500).map(other)).unwrap();
    let change = ledger.update();
    assert_eq!(change.capture, sorted(ids(1000..1500)));
    let Coverage { wanted, covered, .. } = ledger.coverage()[&7];
    assert_eq!((wanted, covered), (1000, 500));
}

#[test]
fn a_lost_file_brings_back_its_own_samples_and_no_others() {
    let mut ledger = Ledger::new();
    ledger.want((0..1000).map(wanted)).unwrap();
    for shard in 0..10 {
        let from = 100 * u64::from(shard);
        // A tenth of each shard lies in the next one too.
        ledger.add_shard(shard, ids(from..(from + 110).min(1000))).unwrap();
    }
    assert_eq!(ledger.update().capture, []);
    ledger.remove_shard(3).unwrap();
    let change = ledger.update();
    // Those that the shard before has as well are served by it.
    assert_eq!(change.capture, sorted(ids(310..400)));
    assert_eq!(change.touched, 110);
    ledger.add_shard(10, ids(310..400)).unwrap();
    assert_eq!(ledger.update().settled.len(), 90);
    assert_eq!(ledger.missing().len(), 0);
}

#[test]
fn an_edit_of_one_in_a_thousand_costs_one_in_a_thousand() {
    let mut ledger = Ledger::new();
    ledger.want((0..10_000).map(wanted)).unwrap();
    for shard in 0..10 {
        let from = 1000 * u64::from(shard);
        ledger.add_shard(shard, ids(from..from + 1000)).unwrap();
    }
    assert_eq!(ledger.update().touched, 10_000);
    let edited: Vec<u64> = (0..10).map(|n| n * 997 + 3).collect();
    ledger.give_up(edited.iter().map(|n| wanted(*n))).unwrap();
    ledger.want(edited.iter().map(|n| wanted(n + 1_000_000))).unwrap();
    let change = ledger.update();
    assert_eq!(change.touched, 20, "ten that went and ten that came");
    assert_eq!(change.capture, sorted(edited.iter().map(|n| id(n + 1_000_000)).collect()));
    assert_eq!(ledger.garbage(), 10);
    assert_eq!(ledger.update(), Change::default(), "of nothing follows nothing");
}

#[test]
fn a_shard_is_dead_when_it_serves_no_sample_and_alive_again_when_it_does() {
    let mut ledger = Ledger::new();
    ledger.want((0..20).map(wanted)).unwrap();
    ledger.add_shard(0, ids(0..20)).unwrap();
    ledger.add_shard(1, ids(10..30)).unwrap();
    ledger.update();
    assert_eq!(ledger.dead_shards(), [1], "what it has the other serves, or nobody wants");
    ledger.want([wanted(25)]).unwrap();
    ledger.update();
    assert_eq!((ledger.dead_shards(), ledger.serving()[&1]), (vec![], 1));
    ledger.remove_shard(0).unwrap();
    ledger.update();
    assert_eq!(ledger.serving(), &BTreeMap::from([(1, 11)]));
    ledger.give_up((0..20).map(wanted).chain([wanted(25)])).unwrap();
    ledger.update();
    assert_eq!((ledger.dead_shards(), ledger.garbage()), (vec![1], 20));
    assert!(ledger.coverage().is_empty() && ledger.missing().is_empty());
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut ledger = Ledger::new();
    ledger.want([wanted(1)]).unwrap();
    ledger.add_shard(4, ids(0..2)).unwrap();
    ledger.update();
    let before = seen(&ledger);
    let other = Wanted { tokens: 7, ..wanted(1) };
    let refused = ledger.want([other]).unwrap_err();
    assert!(refused.to_string().ends_with("has 7 tokens, expected 100"), "{refused}");
    assert!(matches!(ledger.give_up([wanted(2)]), Err(LedgerError::NotWanted { .. })));
    assert_eq!(ledger.add_shard(4, vec![]), Err(LedgerError::Present { shard: 4 }));
    assert_eq!(ledger.remove_shard(5), Err(LedgerError::Absent { shard: 5 }));
    assert_eq!(ledger.update(), Change::default());
    assert_eq!(seen(&ledger), before);
    // Twice wanted, once given up: still wanted.
    ledger.want([wanted(1)]).unwrap();
    ledger.give_up([wanted(1)]).unwrap();
    assert_eq!(ledger.update().touched, 0);
    assert_eq!(seen(&ledger), before);
}

/// What a core did for this thread, in ms: what others do to the machine is not in it.
fn worked() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
    ns.map_or(f64::NAN, |ns| ns / 1e6)
}

/// What loading costs with nine tenths cached, and then some changes: ms of one core, and ms that passed.
fn costs(count: u64) -> [(f64, f64); 5] {
    let mut ledger = Ledger::new();
    let mut last = (worked(), Instant::now());
    let mut lap = || {
        let now = (worked(), Instant::now());
        let spent = (now.0 - last.0, (now.1 - last.1).as_secs_f64() * 1e3);
        last = now;
        spent
    };
    ledger.want((0..count).map(wanted)).unwrap();
    let cached = count / 10 * 9;
    for (number, from) in (0..).zip((0..cached).step_by(10_000)) {
        ledger.add_shard(number, ids(from..(from + 10_000).min(cached))).unwrap();
    }
    assert_eq!(ledger.update().capture.len() as u64, count - cached);
    let load = lap();
    ledger.want((count..count + 1000).map(wanted)).unwrap();
    assert_eq!(ledger.update().capture.len(), 1000);
    let more = lap();
    ledger.add_shard(1_000_000, ids(cached..cached + 1000)).unwrap();
    assert_eq!(ledger.update().settled.len(), 1000);
    let cached = lap();
    ledger.give_up((0..1000).map(|n| wanted(n * 89))).unwrap();
    ledger.want((0..1000).map(|n| wanted(2 * count + n))).unwrap();
    assert_eq!(ledger.update().touched, 2000);
    let edited = lap();
    ledger.remove_shard(0).unwrap();
    ledger.update();
    [load, more, cached, edited, lap()]
}

#[test]
fn a_change_of_a_thousand_is_quick_beside_the_load() {
    let [(load, _), changes @ ..] = costs(100_000);
    let most = changes[..3].iter().fold(0.0, |most: f64, (ms, _)| most.max(*ms));
    // Measured at a twentieth.
    assert!(most < load / 2.0 || load.is_nan(), "load {load:.1} ms, changes {changes:.1?} ms");
}

/// `cargo test --release -p dataflows --lib -- ledger::tests::what_it_costs --ignored --nocapture`
#[test]
#[ignore = "it measures"]
fn what_it_costs() {
    for count in [100_000, 1_000_000] {
        for _ in 0..3 {
            let costs = costs(count);
            let names = ["load", "1000 wanted", "1000 cached", "1000 edited", "10,000 lost"];
            let each = names.iter().zip(costs).map(|(name, (worked, passed))| {
                format!("{name} {worked:.1} ms of a core ({passed:.1} passed)")
            });
            println!("{count} samples: {}", each.collect::<Vec<_>>().join("; "));
            assert!(costs[0].0 < 3000.0 && costs[1..4].iter().all(|(worked, _)| *worked < 50.0));
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}
