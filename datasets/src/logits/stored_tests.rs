//! Floats to integers and back.

use super::super::error::SampleFault;
use super::super::fixture::{self, Teacher};
use super::super::profile::Profile;
use super::super::scored::Demands;
use super::super::stored::{LISTS, List, Row};
use super::*;

fn demands(vocab_size: u32) -> Demands {
    Demands { vocab_size, temperatures: 0, label: false, sampled: false }
}

fn round_trip(scored: &Scored, profile: &Profile, vocab_size: u32, k: Option<u32>) -> Scored {
    let row = Row::encode(scored, profile, vocab_size).unwrap();
    row.by_ref().check_shape(0).unwrap();
    row.by_ref().check_values(vocab_size, profile.values).unwrap();
    row.by_ref().decode(profile.values, &profile.values.table(), k).unwrap()
}

/// KL of the stored distribution against what was given, over the entries and the tail.
fn divergence(given: &Scored, stored: &Scored, position: usize) -> f64 {
    let (_, p) = given.entries(position);
    let (_, q) = stored.entries(position);
    let cells = iter::zip(p, q).map(|(p, q)| (f64::from(*p), f64::from(*q)));
    let tail = (f64::from(given.tail[position]), f64::from(stored.tail[position]));
    let cells: Vec<_> = cells.chain([tail]).filter(|(p, _)| p.is_finite()).collect();
    let z: f64 = cells.iter().map(|(_, q)| q.exp()).sum();
    cells.iter().map(|(p, q)| p.exp() * (p - q + z.ln())).sum()
}

#[test]
fn a_sample_comes_back_with_its_ids_and_with_log_probabilities_within_the_codes_step() {
    for (name, worst) in [("k16", 0.08), ("k32", 0.08), ("exact", 2.6e-4)] {
        let profile: Profile = name.parse().unwrap();
        let identity = fixture::identity(2000, &profile);
        let k = profile.most() as usize;
        let mut sum = 0.0;
        for seed in 0..20 {
            let teacher = Teacher { vocab_size: 2000, seed };
            let scored = teacher.sample(&identity, 40, k, "web");
            let stored = round_trip(&scored, &profile, 2000, None);
            assert_eq!((&stored.ids, &stored.bounds), (&scored.ids, &scored.bounds));
            assert_eq!((stored.id, &stored.tokens), (scored.id, &scored.tokens));
            for position in 0..scored.num_positions() {
                let ((_, kept), (_, given)) = (stored.entries(position), scored.entries(position));
                // What is farther from the first than the code reaches is put at its end.
                let in_reach = |log: &f32| *log > given[0] - 17.9;
                for (a, b) in iter::zip(kept, given).filter(|(_, b)| in_reach(b)) {
                    assert!((a - b).abs() < worst, "{name}: {a} for {b}");
                }
            }
            for (a, b) in iter::zip(&stored.tail, &scored.tail) {
                assert!((a - b).abs() < 2.5e-4);
            }
            sum += (0..39).map(|at| divergence(&scored, &stored, at)).sum::<f64>() / 39.0 / 20.0;
        }
        let limit = if name == "exact" { 1e-7 } else { 1e-4 };
        assert!(sum < limit, "{name}: {sum} nats");
    }
}

#[test]
fn what_is_cut_off_goes_to_the_tail_whenever_it_is_cut() {
    let (wide, narrow) = (Profile::exact(64), Profile::exact(16));
    let identity = fixture::identity(2000, &wide);
    let scored = Teacher { vocab_size: 2000, seed: 3 }.sample(&identity, 30, 64, "web");
    let at_capture = round_trip(&scored, &narrow, 2000, None);
    let at_reading = round_trip(&scored, &wide, 2000, Some(16));
    assert_eq!(at_capture.ids, at_reading.ids);
    assert_eq!(at_capture.log_probs, at_reading.log_probs);
    for (a, b) in iter::zip(&at_capture.tail, &at_reading.tail) {
        assert!((a - b).abs() < 1e-3, "{a} and {b}");
    }
    for position in 0..29 {
        let (_, log_probs) = at_reading.entries(position);
        let mass = log_probs.iter().map(|log| log.exp()).sum::<f32>();
        assert!((mass + at_reading.tail[position].exp() - 1.0).abs() < 1e-3);
    }
}

#[test]
fn with_all_of_the_vocabulary_there_is_no_tail_and_nothing_is_lost() {
    let profile = Profile::exact(1000);
    let identity = fixture::identity(300, &profile);
    let scored = Teacher { vocab_size: 300, seed: 1 }.sample(&identity, 10, 300, "web");
    assert_eq!(scored.ids.len(), 300 * 9);
    let stored = round_trip(&scored, &profile, 300, None);
    assert!(stored.tail.iter().all(|tail| *tail == f32::NEG_INFINITY));
    assert_eq!(stored.ids, scored.ids);
    for (a, b) in iter::zip(&stored.log_probs, &scored.log_probs) {
        assert!((a - b).abs() < 2.6e-4);
    }
}

#[test]
fn adaptive_profiles_keep_as_many_as_hold_the_mass() {
    let profile: Profile = "top-p".parse().unwrap();
    let identity = fixture::identity(2000, &profile);
    let scored = Teacher { vocab_size: 2000, seed: 5 }.sample(&identity, 60, 64, "web");
    let stored = round_trip(&scored, &profile, 2000, None);
    let mut lengths = std::collections::BTreeSet::new();
    for position in 0..59 {
        let (_, given) = scored.entries(position);
        let (_, kept) = stored.entries(position);
        let mass = |n: usize| given[..n].iter().map(|log| f64::from(*log).exp()).sum::<f64>();
        assert!(mass(kept.len()) >= 0.98 || kept.len() == 64);
        assert!(mass(kept.len() - 1) < 0.98);
        lengths.insert(kept.len());
    }
    assert!(lengths.len() > 5, "{lengths:?}");
    let cut = round_trip(&scored, &profile, 2000, Some(4));
    assert!((0..59).all(|at| cut.entries(at).0.len() <= 4));
}

#[test]
fn drawn_entries_come_back_with_the_very_weight_they_were_drawn_with() {
    let profile: Profile = "unbiased".parse().unwrap();
    let identity = fixture::identity(2000, &profile);
    let scored = Teacher { vocab_size: 2000, seed: 5 }.sample(&identity, 60, 14, "web");
    let row = Row::encode(&scored, &profile, 2000).unwrap();
    row.by_ref().check_shape(0).unwrap();
    row.by_ref().check_values(2000, profile.values).unwrap();
    let stored = row.by_ref().decode(profile.values, &profile.values.table(), None).unwrap();
    assert_eq!((&stored.ids, &stored.drawn), (&scored.ids, &scored.drawn));
    let mut drawn = 0;
    for position in 0..59 {
        let (_, log_probs) = stored.entries(position);
        let Drawn { count, log_tau } = scored.drawn[position];
        let (head, tail) = log_probs.split_at(log_probs.len() - count as usize);
        assert!(
            tail.iter().all(|log| *log == log_tau) && head.iter().all(|log| *log >= log_tau - 0.1)
        );
        drawn += count;
    }
    assert!(drawn > 100);
}

#[test]
fn labels_and_log_partitions_are_kept_where_the_cache_has_them() {
    let profile = Profile::default();
    let mut identity = fixture::identity(2000, &profile);
    (identity.label, identity.temperatures) = (true, vec![2.0, 4.0]);
    let scored = Teacher { vocab_size: 2000, seed: 5 }.sample(&identity, 20, 32, "web");
    scored.check(identity.demands(), &mut vec![]).unwrap();
    let row = Row::encode(&scored, &profile, 2000).unwrap();
    row.by_ref().check_shape(2).unwrap();
    assert!(row.by_ref().check_shape(1).is_err());
    let stored = row.by_ref().decode(profile.values, &profile.values.table(), None).unwrap();
    let near = |a: &[f32], b: &[f32]| iter::zip(a, b).all(|(a, b)| (a - b).abs() < 2.5e-4);
    assert!(near(&stored.label, &scored.label) && near(&stored.log_z, &scored.log_z));
    assert_eq!((stored.label.len(), stored.log_z.len()), (19, 38));
}

/// What is wrong with a sample, and how it is said.
#[test]
fn a_sample_that_makes_no_sense_is_refused_and_the_message_says_why() {
    let profile = Profile::top(8);
    let identity = fixture::identity(100, &profile);
    let good = Teacher { vocab_size: 100, seed: 1 }.sample(&identity, 6, 8, "web");
    good.check(demands(100), &mut vec![]).unwrap();
    let cases: [(&str, &dyn Fn(&mut Scored)); 14] = [
        ("id 100 is out of range: expected less than 100", &|s| s.ids[17] = 100),
        ("id 4294967295 is out of range", &|s| s.tokens[2] = u32::MAX),
        ("is among the entries twice", &|s| s.ids[17] = s.ids[16]),
        ("entry 3 is more probable than the one before", &|s| s.log_probs[11] = s.log_probs[9]),
        ("is no log-probability", &|s| s.log_probs[8] = 0.5),
        ("NaN of the entry is no log-probability", &|s| s.log_probs[12] = f32::NAN),
        ("NaN of the tail mass", &|s| s.tail[1] = f32::NAN),
        ("have a mass of", &|s| s.tail[1] = -0.01),
        ("it has 4 tail masses, expected 5", &|s| s.tail.truncate(4)),
        ("it has 39 ids, expected 40", &|s| s.ids.truncate(39)),
        ("it has 5 bounds, expected 6", &|s| s.bounds.truncate(5)),
        ("it has 0 entries, expected 1", &|s| s.bounds[2] = s.bounds[1]),
        ("it has 1000 entries, expected 40", &|s| s.bounds[1] = 1000),
        ("it has 1 label log-probabilities, expected 0", &|s| s.label.push(-1.0)),
    ];
    for (message, spoil) in cases {
        let mut bad = good.clone();
        spoil(&mut bad);
        let (_, fault) = bad.check(demands(100), &mut vec![]).unwrap_err();
        assert!(fault.to_string().contains(message), "{fault}, expected {message}");
    }
    let (position, fault) = Row::encode(&good, &Profile::top(9), 100).unwrap_err();
    assert_eq!((position, fault), (Some(0), SampleFault::TooFew { expected: 9, found: 8 }));
}

#[test]
fn a_stored_row_that_makes_no_sense_is_refused_and_never_panics() {
    let profile = Profile::top(8);
    let identity = fixture::identity(100, &profile);
    let scored = Teacher { vocab_size: 100, seed: 1 }.sample(&identity, 6, 8, "web");
    let good = Row::encode(&scored, &profile, 100).unwrap();
    let verdict = |row: &Row| {
        let row = row.by_ref();
        row.check_shape(0).and_then(|()| row.check_values(100, profile.values))
    };
    verdict(&good).unwrap();
    let set = |row: &mut Row, list: List, at: usize, value| row.lists[list as usize][at] = value;
    let mut bad = good.clone();
    set(&mut bad, List::Codes, 9, 250);
    set(&mut bad, List::Codes, 10, 250);
    assert_eq!(verdict(&bad), Err(RowFault::Code { position: 1, levels: 255 }));
    let mut bad = good.clone();
    set(&mut bad, List::Ids, 9, 100);
    assert_eq!(verdict(&bad), Err(RowFault::IdOutOfRange { id: 100, vocab_size: 100 }));
    let mut bad = good.clone();
    set(&mut bad, List::First, 2, 0);
    assert!(matches!(verdict(&bad), Err(RowFault::Mass { position: 2, .. })));
    for list in 0..LISTS {
        for k in [0, 7, 9, u32::MAX] {
            let mut bad = good.clone();
            bad.k = k;
            assert!(verdict(&bad).is_err());
            let mut bad = good.clone();
            bad.lists[list].push(k);
            assert!(verdict(&bad).is_err(), "list {list}");
            bad.lists[list].truncate(2);
            drop(verdict(&bad));
        }
    }
    // Every value of every list may be anything.
    for list in 0..LISTS {
        for at in 0..good.lists[list].len() {
            for value in [0, 1, 255, 256, 65_535, u32::MAX] {
                let mut bad = good.clone();
                bad.lists[list][at] = value;
                drop(verdict(&bad));
                assert_eq!(bad == good, bad.by_ref().hash() == good.by_ref().hash());
            }
        }
    }
}
