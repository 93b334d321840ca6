//! The loader against plain loops over everything at once.

mod cursors;
mod memory;
mod opening;
mod oracle;
mod reading;
mod speed;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use memory::Memory;

use super::*;
use crate::TokenLists;
use crate::order::Shuffle;
use crate::pack::Method;
use crate::random::{below, stream};

fn source(name: &str, groups: &Arc<Memory>, weight: f64, epochs: Option<u64>) -> Source {
    let groups = Arc::clone(groups) as Arc<dyn Groups>;
    Source { name: name.into(), groups, weight, epochs, pack_plan: None }
}

fn settings(seq_tokens: usize, shuffle: Shuffle, packing: Method) -> Settings {
    Settings { shuffle, packing, seed: 5, ..Settings::new(seq_tokens, 1 << 30) }
}

fn get(loader: &Loader, index: u64) -> Sequence {
    let mut out = Sequence::default();
    loader.fill(index, &mut out).unwrap();
    out
}

const SHUFFLES: [Shuffle; 3] = [Shuffle::None, Shuffle::Window, Shuffle::Global];

#[test]
fn sequences_are_those_of_the_plain_loop_in_any_order_of_asking() {
    for (case, (seq_tokens, bos, eos, longest, window_tokens)) in [
        (1, None, None, 3, 1),
        (7, Some(1), Some(2), 20, 100),
        (7, None, Some(2), 20, 1 << 20),
        (16, Some(1), None, 1, 60),
        (64, None, None, 5, 500),
        (3, Some(1), Some(2), 0, 10),
        (300, None, Some(2), 40, 50),
    ]
    .into_iter()
    .enumerate()
    {
        let groups = Memory::new(case as u64, 12, 25, longest);
        for (shuffle, packing, seed) in SHUFFLES
            .into_iter()
            .flat_map(|shuffle| [(shuffle, Method::Concat, 1), (shuffle, Method::BestFit, 2)])
        {
            let window_tokens = Some(window_tokens);
            let settings = Settings {
                bos,
                eos,
                seed,
                window_tokens,
                ..settings(seq_tokens, shuffle, packing)
            };
            let loader = Loader::open(vec![source("a", &groups, 1.0, Some(3))], &settings).unwrap();
            let expected = oracle::source("a", &groups, &settings, 3);
            assert_eq!(loader.num_sequences(), Some(expected.len() as u64), "{settings:?}");
            for (index, expected) in (0..).zip(&expected) {
                assert_eq!(get(&loader, index), *expected, "{settings:?}, {index}");
            }
            let mut rng = stream(4, "ask", 0, 0);
            for _ in 0..100 {
                let index = below(&mut rng, expected.len() as u64);
                assert_eq!(get(&loader, index), expected[usize::try_from(index).unwrap()]);
            }
            let end = expected.len() as u64;
            let error = loader.fill(end, &mut Sequence::default()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("there is no sequence {end}: the sources end after {end}")
            );
        }
    }
}

#[test]
fn every_token_comes_once_an_epoch_but_the_rest() {
    let groups = Memory::new(3, 20, 40, 90);
    let mut all = groups.tokens();
    all.sort_unstable();
    for shuffle in SHUFFLES {
        for packing in [Method::Concat, Method::BestFit] {
            let settings = Settings { window_tokens: Some(5000), ..settings(32, shuffle, packing) };
            let loader = Loader::open(vec![source("a", &groups, 1.0, None)], &settings).unwrap();
            for epoch in 0..2 {
                let n = loader.sequences_per_epoch()[0];
                let mut found: Vec<u32> = Vec::new();
                for index in epoch * n..(epoch + 1) * n {
                    let sequence = get(&loader, index);
                    assert_eq!(sequence.epoch, epoch);
                    let own = match packing {
                        Method::Concat => 32,
                        Method::BestFit => sequence.len as usize,
                    };
                    found.extend(&sequence.tokens[..own]);
                }
                found.sort_unstable();
                if packing == Method::BestFit {
                    assert!(found == all, "{settings:?}");
                } else {
                    assert!(all.len() - found.len() <= 32);
                    found.dedup();
                    assert_eq!(found.len() as u64, n * 32, "no token twice");
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_sequences() {
    let sources =
        [Memory::new(1, 30, 40, 60), Memory::new(2, 9, 30, 200), Memory::new(3, 5, 10, 20)];
    for packing in [Method::Concat, Method::BestFit] {
        let mut expected: Option<Vec<Sequence>> = None;
        for threads in [1, 2, 3, 7] {
            let settings =
                Settings { window_tokens: Some(2000), ..settings(50, Shuffle::Global, packing) };
            let weights = [0.7, 0.2, 0.1];
            let open = (sources.iter().zip(["a", "b", "c"]).zip(weights))
                .map(|((groups, name), weight)| source(name, groups, weight, Some(2)))
                .collect();
            let loader = Loader::open(open, &settings).unwrap();
            let n = loader.num_sequences().unwrap();
            let parts: Vec<Vec<Sequence>> = std::thread::scope(|scope| {
                let run = |rank| {
                    let loader = &loader;
                    move || (rank..n).step_by(threads).map(|g| get(loader, g)).collect()
                };
                let handles: Vec<_> =
                    (0..threads as u64).map(|rank| scope.spawn(run(rank))).collect();
                handles.into_iter().map(|handle| handle.join().unwrap()).collect()
            });
            let all: Vec<Sequence> = (0..usize::try_from(n).unwrap())
                .map(|g| parts[g % threads][g / threads].clone())
                .collect();
            let stats = loader.stats();
            assert_eq!(stats.iter().map(|stats| stats.sequences).sum::<u64>(), n);
            match &expected {
                None => {
                    // One thread goes from window to window and reads each once.
                    let read: u64 = stats.iter().map(|stats| stats.bytes_read).sum();
                    let sizes = sources.iter().flat_map(|source| source.sizes());
                    let stored: u64 = sizes.map(|size| size.bytes).sum();
                    assert!(read <= 2 * stored, "{read} read of twice {stored}");
                    expected = Some(all);
                }
                Some(sequences) => assert!(*sequences == all, "{threads} threads"),
            }
        }
    }
}

#[test]
fn a_mixture_of_sources_is_each_source_in_its_own_order() {
    let groups = [Memory::new(1, 10, 20, 60), Memory::new(2, 4, 30, 50)];
    let schedule = vec![Step { from_tokens: 1000, weights: vec![("b".into(), 3.0)] }];
    let settings = Settings {
        schedule,
        window_tokens: Some(700),
        eos: Some(9),
        ..settings(20, Shuffle::Global, Method::Concat)
    };
    let sources = vec![source("a", &groups[0], 0.75, Some(2)), source("b", &groups[1], 0.25, None)];
    let loader = Loader::open(sources, &settings).unwrap();
    assert_eq!(loader.num_sequences(), None);
    let expected = [
        oracle::source("a", &groups[0], &settings, 2),
        oracle::source("b", &groups[1], &settings, 40),
    ];
    let mut counts = [0; 2];
    for index in 0..2000 {
        let mut sequence = get(&loader, index);
        let from = usize::from(std::mem::take(&mut sequence.source));
        assert_eq!(sequence, expected[from][counts[from]], "{index}");
        counts[from] += 1;
        if index + 1 == 50 {
            assert!([[37, 13], [38, 12]].contains(&counts));
        }
    }
    assert_eq!(counts[0], expected[0].len(), "the source that ends gave everything");
    assert_eq!(loader.mixture().counts(2000), [counts[0] as u64, counts[1] as u64]);
}

#[test]
fn no_more_memory_is_held_than_is_said() {
    let sources = [Memory::new(1, 40, 60, 60), Memory::new(2, 9, 30, 700)];
    for (packing, memory_bytes) in
        [(Method::Concat, 1 << 30), (Method::Concat, 0), (Method::BestFit, 1 << 30)]
    {
        let settings = Settings {
            window_tokens: Some(9000),
            memory_bytes,
            bos: Some(1),
            ..settings(64, Shuffle::Global, packing)
        };
        let open = (sources.iter().zip(["a", "b"]))
            .map(|(groups, name)| source(name, groups, 1.0, None))
            .collect();
        let loader = Loader::open(open, &settings).unwrap();
        let bound = loader.memory_bound();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let loader = &loader;
                scope.spawn(move || {
                    let mut rng = stream(6, "memory", 0, thread);
                    for index in (thread..4000).step_by(4) {
                        get(loader, if thread == 3 { below(&mut rng, 4000) } else { index });
                        let held = loader.memory_held();
                        assert!(held <= bound, "{held} of {bound}");
                    }
                });
            }
        });
        assert!(
            loader.memory_held() * 4 > bound,
            "the bound is near: {} of {bound}",
            loader.memory_held()
        );
    }
}

#[test]
fn a_sequence_says_which_documents_it_is_made_of() {
    for packing in [Method::Concat, Method::BestFit] {
        for (bos, eos) in [(Some(1), Some(2)), (None, Some(2)), (None, None)] {
            let groups = Memory::new(3, 6, 25, 20);
            let settings = Settings { bos, eos, ..settings(7, Shuffle::Global, packing) };
            let loader = Loader::open(vec![source("a", &groups, 1.0, Some(2))], &settings).unwrap();
            let mut cut = 0;
            for index in 0..loader.num_sequences().unwrap() {
                let mut out = Sequence { pieces: Some(Pieces::default()), ..Sequence::default() };
                loader.fill(index, &mut out).unwrap();
                let pieces = out.pieces.take().unwrap();
                assert_eq!(out, get(&loader, index));
                assert_eq!(
                    (pieces.documents.len(), pieces.from.len()),
                    (out.starts.len(), out.starts.len())
                );
                let ends = out.starts[1..].iter().chain([&out.len]);
                for (i, (start, end)) in out.starts.iter().zip(ends).enumerate() {
                    let (document, from) = (pieces.documents.get(i), pieces.from[i] as usize);
                    let piece = &out.tokens[*start as usize..*end as usize];
                    assert_eq!(&document[from..from + piece.len()], piece);
                    let text = &document
                        [usize::from(bos.is_some())..document.len() - usize::from(eos.is_some())];
                    assert!(
                        groups.groups.iter().any(|g| (0..g.len()).any(|row| g.get(row) == text))
                    );
                    cut += u32::from(from > 0);
                }
            }
            assert!(cut > 10, "{cut} documents are cut");
        }
    }
}
