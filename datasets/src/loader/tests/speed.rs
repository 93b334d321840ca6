//! Numbers, not checks: `cargo test --release -p datasets speed -- --ignored --nocapture --test-threads 1`.

use std::hint::black_box;

use super::*;

/// How long this thread has been on a core, of which it may have a part only.
fn on_core() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn best_of(times: usize, mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let begun = on_core();
        run();
        on_core() - begun
    };
    (0..times).map(time).min().unwrap()
}

/// Row groups of 2^20 tokens.
fn corpus(longest: u64) -> Arc<Memory> {
    let mut rng = stream(1, "speed", 0, 0);
    let group = |_| {
        let tokens: Vec<u32> =
            (0..1 << 20).map(|i: u32| i.wrapping_mul(2_654_435_761) >> 15).collect();
        let mut bounds = vec![0];
        while let Some(last) = bounds.last().filter(|last| **last < 1 << 20) {
            let length = u32::try_from(1 + below(&mut rng, longest)).unwrap();
            bounds.push((last + length).min(1 << 20));
        }
        TokenLists { tokens, bounds }
    };
    Memory::of((0..32).map(group).collect())
}

#[test]
#[ignore = "measures"]
fn speed_of_sequences_from_memory() {
    for longest in [2000, 200] {
        let groups = corpus(longest);
        let total = groups.sizes().iter().map(|size| size.tokens).sum::<u64>() as f64;
        let mut copy = vec![0; 1 << 20];
        let time = best_of(5, || {
            for lists in &groups.groups {
                copy.copy_from_slice(&lists.tokens);
                black_box(&copy);
            }
        });
        println!(
            "documents to {longest}: memory copy {:.0} M tokens/s",
            total / time.as_secs_f64() / 1e6
        );
        for packing in [Method::Concat, Method::BestFit] {
            for (read_ahead, shuffle) in
                [(0, Shuffle::Global), (1, Shuffle::Global), (0, Shuffle::None)]
            {
                let settings =
                    Settings { eos: Some(2), read_ahead, ..settings(4096, shuffle, packing) };
                let loader =
                    Loader::open(vec![source("a", &groups, 1.0, None)], &settings).unwrap();
                let n = loader.sequences_per_epoch()[0];
                let (mut out, mut epoch, mut cu) = (Sequence::default(), 0, Vec::new());
                let time = best_of(5, || {
                    for index in epoch * n..(epoch + 1) * n {
                        loader.fill(index, &mut out).unwrap();
                        out.cu_seqlens(&mut cu);
                        black_box((&out, &cu));
                    }
                    epoch += 1;
                });
                let stats = &loader.stats()[0];
                let rate = (n * 4096) as f64 / time.as_secs_f64() / 1e6;
                let waited = stats.wait_ns as f64 / epoch as f64 / time.as_nanos() as f64;
                println!(
                    "  {packing:?} {shuffle:?} read_ahead {read_ahead}: {rate:.0} M tokens/s of this thread, waited {:.0} %, {:.2} % padding",
                    100.0 * waited,
                    100.0 * stats.padding as f64 / (stats.padding + stats.tokens) as f64,
                );
            }
        }
    }
}

/// Many row groups of the same content.
struct Many(Vec<GroupSize>, TokenLists);

impl Groups for Many {
    fn sizes(&self) -> &[GroupSize] {
        &self.0
    }

    fn read(&self, _group: usize, out: &mut TokenLists) -> Result<(), GroupError> {
        let begin = u32::try_from(out.tokens.len())?;
        out.tokens.extend_from_slice(&self.1.tokens);
        out.bounds.extend(self.1.bounds[1..].iter().map(|bound| begin + bound));
        Ok(())
    }

    fn lengths(&self, _group: usize) -> Result<Vec<u32>, GroupError> {
        Ok(self.1.bounds.windows(2).map(|pair| pair[1] - pair[0]).collect())
    }

    fn digest(&self) -> String {
        "many".into()
    }
}

#[test]
#[ignore = "measures"]
fn speed_of_resuming_at_any_cursor() {
    let group = corpus(2000).groups[0].clone();
    let size = GroupSize { rows: group.len() as u64, tokens: 1 << 20, bytes: 1 << 21 };
    let groups: Arc<dyn Groups> = Arc::new(Many(vec![size; 10_000], group));
    for packing in [Method::Concat, Method::BestFit] {
        let settings = Settings { eos: Some(2), ..settings(4096, Shuffle::Global, packing) };
        let mut plan = None;
        let mut slowest = Duration::ZERO;
        for case in 0..20 {
            let source = Source {
                name: "a".into(),
                groups: Arc::clone(&groups),
                weight: 1.0,
                epochs: None,
                pack_plan: plan.clone(),
            };
            let begun = Instant::now();
            let loader = Loader::open(vec![source], &settings).unwrap();
            let opened = begun.elapsed();
            let n = loader.sequences_per_epoch()[0];
            let mut out = Sequence::default();
            loader.fill(below(&mut stream(1, "cursors", 0, case), 5 * n), &mut out).unwrap();
            let time = begun.elapsed();
            if case == 0 {
                plan = loader.pack_plans().next().cloned();
                println!("{packing:?}: first opened in {opened:?}, first sequence after {time:?}");
            } else {
                slowest = slowest.max(time);
            }
        }
        println!(
            "{packing:?}: first sequence at any cursor of 10,000 row groups: at most {slowest:?}"
        );
    }
}

#[test]
#[ignore = "measures"]
fn speed_of_patterns() {
    use crate::mixture::{Mixture, Share};
    for k in [2, 20, 1000] {
        let share = |i: u32| Share {
            name: i.to_string(),
            weight: f64::from(i + 2).sqrt(),
            sequences: None,
        };
        let shares: Vec<Share> = (0..k).map(share).collect();
        let time = best_of(3, || drop(black_box(Mixture::new(&shares, &[]))));
        println!("longest pattern of {k} sources: {time:?}");
    }
}
