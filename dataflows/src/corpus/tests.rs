//! The views against a plain recomputation, what is refused, and what it costs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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

/// The views, computed anew: a map of the ids, and union-find over the bands.
fn plainly(
    files: &BTreeMap<u32, Vec<Doc>>,
    hot: usize,
) -> (BTreeMap<Place, Dropped>, BTreeMap<u16, BySource>) {
    let mut dropped = BTreeMap::new();
    let mut firsts: HashMap<u128, Place> = HashMap::new();
    let mut bands: BTreeMap<u64, BTreeSet<Place>> = BTreeMap::new();
    let rows = || {
        files.iter().flat_map(|(file, docs)| {
            docs.iter().map(move |doc| (Place { file: *file, index: doc.index }, doc))
        })
    };
    let mut in_order: Vec<(Place, &Doc)> = rows().collect();
    in_order.sort_by_key(|(place, _)| *place);
    for (place, doc) in in_order {
        if let Some(of) = firsts.get(&doc.id) {
            dropped.insert(place, Dropped { place, why: Why::Exact, of: *of });
            continue;
        }
        firsts.insert(doc.id, place);
        for band in &doc.bands {
            bands.entry(*band).or_default().insert(place);
        }
    }
    let mut parents: BTreeMap<Place, Place> = BTreeMap::new();
    fn root(parents: &BTreeMap<Place, Place>, mut place: Place) -> Place {
        while let Some(parent) = parents.get(&place) {
            place = *parent;
        }
        place
    }
    for places in bands.into_values().filter(|places| places.len() <= hot) {
        let first = *places.first().unwrap();
        for place in places {
            let (a, b) = (root(&parents, first), root(&parents, place));
            if a != b {
                parents.insert(a.max(b), a.min(b));
            }
        }
    }
    for place in parents.keys() {
        let of = root(&parents, *place);
        dropped.insert(*place, Dropped { place: *place, why: Why::Near, of });
    }
    let mut stats: BTreeMap<u16, BySource> = BTreeMap::new();
    for (place, doc) in rows() {
        let source = stats.entry(doc.source).or_default();
        let tally = match dropped.get(&place).map(|dropped| dropped.why) {
            None => &mut source.kept,
            Some(Why::Exact) => &mut source.exact,
            Some(Why::Near) => &mut source.near,
        };
        tally.documents += 1;
        tally.bytes += u64::from(doc.bytes);
        tally.tokens += u64::from(doc.tokens);
        let bin = if doc.tokens == 0 { 0 } else { doc.tokens.ilog2() as usize + 1 };
        tally.lengths[bin] += 1;
    }
    (dropped, stats)
}

/// A file out of order and with gaps, of ids and bands that are drawn from few.
fn file(numbers: &mut Numbers, docs: u64) -> Vec<Doc> {
    let mut indices: BTreeSet<u64> = (0..docs).map(|_| numbers.below(1 << 40)).collect();
    let mut drawn = vec![];
    while let Some(index) = indices.pop_first() {
        let id = numbers.below(150);
        // Now and then a document whose copy has other bands: those of the first count.
        let salt = if numbers.below(10) == 0 { numbers.below(4) } else { 0 };
        let bands = match numbers.below(4) {
            0 => vec![],
            _ => (0..3).map(|band| (id * 3 + band * 7 + salt) * 31 % 277).collect(),
        };
        let longest = 1 << numbers.below(12);
        let tokens = u32::try_from(numbers.below(longest)).unwrap();
        let source = u16::try_from(numbers.below(3)).unwrap();
        drawn.push(Doc {
            index,
            id: u128::from(id) << 70,
            source,
            bytes: tokens * 4,
            tokens,
            bands,
        });
    }
    drawn.reverse();
    drawn
}

#[test]
fn the_views_are_those_computed_anew_after_any_inserts_and_removals() {
    for (seed, hot) in [(1, 10_000), (2, 10_000), (3, 4), (4, 2)] {
        let mut numbers = Numbers(seed);
        let mut corpus = Corpus::new(Settings { hot });
        let mut files: BTreeMap<u32, Vec<Doc>> = BTreeMap::new();
        let mut seen = (0, 0, 0);
        for _ in 0..60 {
            let before = corpus.dropped().clone();
            for _ in 0..=numbers.below(3) {
                let number = u32::try_from(numbers.below(12)).unwrap();
                // A file that is there goes, and half of the time another comes in its place.
                if files.remove(&number).is_some() {
                    corpus.remove(number).unwrap();
                    if numbers.below(2) == 0 {
                        continue;
                    }
                }
                let length = numbers.below(12);
                let docs = file(&mut numbers, length);
                corpus.insert(number, docs.clone()).unwrap();
                files.insert(number, docs);
            }
            let change = corpus.update();
            let (dropped, stats) = plainly(&files, hot);
            assert_eq!(corpus.dropped(), &dropped);
            assert_eq!(corpus.stats(), &stats);

            let news: Vec<Dropped> = dropped.values().copied().collect();
            let news = news.into_iter().filter(|drop| before.get(&drop.place) != Some(drop));
            // A file that was replaced by one that drops the same place may say so again.
            let said: BTreeSet<Place> = change.dropped.iter().map(|drop| drop.place).collect();
            assert!(news.clone().all(|drop| said.contains(&drop.place)));
            assert!(change.dropped.iter().all(|drop| dropped.get(&drop.place) == Some(drop)));
            assert!(change.dropped.is_sorted_by_key(|drop| drop.place));
            assert!(change.restored.is_sorted());
            for place in &change.restored {
                assert!(before.contains_key(place) && !dropped.contains_key(place));
            }
            let near = dropped.values().filter(|drop| drop.why == Why::Near).count();
            seen = (seen.0 + near, seen.1 + dropped.len() - near, seen.2 + change.restored.len());
        }
        assert!(seen.0 > 50 && seen.1 > 50 && seen.2 > 20, "it was to see each: {seen:?}");
    }
}

fn doc(index: u64, id: u128, bands: &[u64]) -> Doc {
    Doc { index, id, source: 0, bytes: 40, tokens: 10, bands: bands.to_vec() }
}

#[test]
fn a_component_falls_apart_when_what_connected_it_goes() {
    let mut corpus = Corpus::new(Settings::default());
    corpus.insert(0, vec![doc(0, 1, &[1])]).unwrap();
    corpus.insert(1, vec![doc(0, 2, &[1, 2])]).unwrap();
    corpus.insert(2, vec![doc(0, 3, &[2])]).unwrap();
    let first = Place { file: 0, index: 0 };
    let change = corpus.update();
    assert!(change.dropped.iter().all(|drop| drop.of == first && drop.why == Why::Near));
    assert_eq!(change.dropped.len(), 2);

    corpus.remove(1).unwrap();
    let change = corpus.update();
    assert_eq!(change, Change { dropped: vec![], restored: vec![Place { file: 2, index: 0 }] });
    assert_eq!(corpus.stats()[&0].kept.documents, 2);
}

#[test]
fn a_band_of_too_many_connects_nobody_until_some_go() {
    let mut corpus = Corpus::new(Settings { hot: 2 });
    for file in 0..3 {
        corpus.insert(file, vec![doc(0, u128::from(file), &[5])]).unwrap();
    }
    assert_eq!(corpus.update(), Change::default());
    corpus.remove(0).unwrap();
    let of = Place { file: 1, index: 0 };
    let drop = Dropped { place: Place { file: 2, index: 0 }, why: Why::Near, of };
    assert_eq!(corpus.update(), Change { dropped: vec![drop], restored: vec![] });
}

#[test]
fn a_file_that_came_and_went_between_updates_leaves_no_trace() {
    let mut corpus = Corpus::new(Settings::default());
    corpus.insert(0, vec![doc(0, 1, &[]), doc(1, 1, &[])]).unwrap();
    corpus.remove(0).unwrap();
    assert_eq!(corpus.update(), Change::default());
    assert!(corpus.stats().is_empty() && corpus.dropped().is_empty());
}

#[test]
fn a_change_that_cannot_be_made_is_refused_and_changes_nothing() {
    let mut corpus = Corpus::new(Settings::default());
    assert_eq!(corpus.remove(3), Err(CorpusError::Absent { file: 3 }));
    let two = CorpusError::TwoAtOnePlace { file: 0, index: 4 };
    assert_eq!(corpus.insert(0, vec![doc(4, 1, &[]), doc(4, 2, &[])]), Err(two.clone()));
    assert_eq!(two.to_string(), "file 0 has two documents with the index 4");
    corpus.insert(0, vec![doc(4, 1, &[])]).unwrap();
    assert_eq!(corpus.insert(0, vec![]), Err(CorpusError::Present { file: 0 }));
    corpus.update();
    assert_eq!(corpus.stats()[&0].kept.documents, 1);
}

/// `cargo test --release -p dataflows --lib corpus::tests::what_it_costs -- --ignored --nocapture`
#[test]
#[ignore = "it measures"]
fn what_it_costs() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        line.map(|line| line.to_owned()).unwrap_or_default()
    };
    // Of ten documents one is an exact copy, and one shares half of its bands with another.
    let docs = |numbers: &mut Numbers, count: u64, among: u64, bands: u64| -> Vec<Doc> {
        let draw = |index| {
            let kind = numbers.below(10);
            let name = if kind < 2 { numbers.below(among) } else { numbers.below(1 << 60) };
            let other = numbers.below(1 << 60);
            let id = if kind == 1 { other } else { name };
            let shared = if kind == 1 { bands / 2 } else { bands };
            let bands = (0..bands)
                .map(|band| Numbers(if band < shared { name } else { other } * 16 + band))
                .map(|mut band| band.below(u64::MAX))
                .collect();
            Doc { index, id: id.into(), source: 0, bytes: 4000, tokens: 1000, bands }
        };
        (0..count).map(draw).collect()
    };
    for (count, bands) in [(200_000, 16), (200_000, 8), (1_000_000, 0)] {
        let mut numbers = Numbers(7);
        let mut corpus = Corpus::new(Settings::default());
        let names = count / 10;
        // A file of a thousand, and small names so that copies have something to be copies of.
        let files: Vec<_> =
            (0..count / 1000).map(|_| docs(&mut numbers, 1000, names, bands)).collect();
        let begun = Instant::now();
        for (number, docs) in (0..).zip(files) {
            corpus.insert(number, docs).unwrap();
        }
        corpus.update();
        println!("{count} documents, {bands} bands: load {:?}, {}", begun.elapsed(), resident());
        for trial in 0..3 {
            let hundred = docs(&mut numbers, 100, names, bands);
            let begun = Instant::now();
            corpus.insert(1_000_000 + trial, hundred).unwrap();
            let change = corpus.update();
            let added = begun.elapsed();
            let begun = Instant::now();
            corpus.remove(1_000_000 + trial).unwrap();
            corpus.update();
            let removed = begun.elapsed();
            println!(
                "  100 added {added:?} ({} dropped), removed {removed:?}",
                change.dropped.len()
            );
        }
        let begun = Instant::now();
        corpus.remove(0).unwrap();
        let change = corpus.update();
        println!("  first 1000 removed {:?} ({} restored)", begun.elapsed(), change.restored.len());
    }
}
