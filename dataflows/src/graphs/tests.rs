//! The oracle: a plain loop over the same roles.

use std::sync::{Arc, Mutex};

use super::{Outcome, Pass, Shape, pass};
use crate::failure::{Failure, Halt};
use crate::roles::{Commit, Feed, Fold, Part, Staging, Work};
use crate::time::{At, Span, Step, Stop};

struct Places;

impl Feed for Places {
    type Batch = u64;

    fn feed(&mut self, at: At) -> Result<u64, Failure> {
        Ok(at.step.0 * 100 + u64::from(at.shard))
    }
}

struct Mix;

impl Work for Mix {
    type Batch = u64;
    type Output = u64;

    fn work(&mut self, _: At, batch: u64) -> Result<u64, Failure> {
        std::thread::sleep(std::time::Duration::from_micros(batch.wrapping_mul(7919) % 200));
        Ok(batch.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

/// A digest that depends on the order.
struct Digest(u64);

impl Fold for Digest {
    type Input = u64;

    fn fold(&mut self, _: At, input: u64) -> Result<(), Failure> {
        self.0 = self.0.rotate_left(5) ^ input;
        Ok(())
    }

    fn part(&mut self, _: Step) -> Staging {
        let digest = self.0.to_string();
        let part = Part { stage: "fold".into(), name: "digest".into(), bytes: 8, digest };
        Box::new(move || Ok(vec![part]))
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u64, String)>>>);

impl Commit for Log {
    fn commit(&mut self, step: Step, parts: Vec<Part>) -> Result<(), Failure> {
        self.0.lock().unwrap().push((step.0, parts[0].digest.clone()));
        Ok(())
    }
}

/// The checkpoints of a plain loop.
fn oracle(span: Span, shards: u32, state: u64) -> Vec<(u64, String)> {
    let (mut fold, mut log) = (Digest(state), vec![]);
    for step in span.resume..span.end {
        for shard in 0..shards {
            let at = At { step: Step(step), shard };
            let batch = Places.feed(at).unwrap();
            fold.fold(at, Mix.work(at, batch).unwrap()).unwrap();
        }
        if (step + 1) % span.every == 0 || step + 1 == span.end {
            log.push((step + 1, fold.0.to_string()));
        }
    }
    log
}

fn graph(workers: usize, window: u64, span: Span, state: u64) -> Vec<(u64, String)> {
    let log = Log::default();
    let roles =
        Pass { feed: |_| Places, work: |_| Mix, fold: Digest(state), commit: log.clone() };
    let halt: Halt = Arc::new(|failure| panic!("{failure}"));
    let shape = Shape { workers, shards: 5, window, uncommitted: 20, span };
    let outcome = pass(&shape, roles, &Stop::new(), halt).unwrap();
    assert!(matches!(outcome, Outcome::Finished));
    let found = log.0.lock().unwrap().clone();
    found
}

#[test]
fn any_number_of_workers_and_any_window_commit_what_a_plain_loop_would() {
    let span = Span { resume: 0, end: 23, every: 5 };
    for (workers, window) in [(1, 1), (2, 2), (3, 8)] {
        assert_eq!(graph(workers, window, span, 7), oracle(span, 5, 7), "{workers} {window}");
    }
}

#[test]
fn a_run_that_goes_on_from_a_checkpoint_ends_as_one_that_was_never_stopped() {
    let whole = oracle(Span { resume: 0, end: 23, every: 5 }, 5, 7);
    let (step, state) = whole[1].clone();
    let rest = Span { resume: step, end: 23, every: 5 };
    assert_eq!(graph(2, 4, rest, state.parse().unwrap()), whole[2..]);
}
