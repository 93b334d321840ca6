//! The search against a plain loop, stopped, and failing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::fakes::nothing_may_fail;
use crate::graphs::{Attempt, Standings, search};
use crate::operators::{Verdict, rank};
use crate::{Failure, Halt, Step};

/// Losses that cross between the rungs: who is best early is not who is best late.
fn loss(rung: u64, candidate: u64) -> f64 {
    let early = (candidate * 7919 % 31) as f64;
    let late = (candidate * 104_729 % 37) as f64;
    early / (rung + 1) as f64 + late
}

/// Tries, and gives up once so many were tried.
struct Trying {
    left: Arc<AtomicUsize>,
    fails_at: Option<(u64, u64)>,
}

impl Attempt for Trying {
    fn attempt(&mut self, rung: Step, candidate: u64) -> Result<Option<f64>, Failure> {
        if self.fails_at == Some((rung.0, candidate)) {
            return Err(Failure::of("as was asked"));
        }
        std::thread::sleep(Duration::from_micros(candidate * 131 % 500));
        let is_left = |left: usize| left.checked_sub(1);
        let is_left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_left).is_ok();
        Ok(is_left.then(|| loss(rung.0, candidate)))
    }
}

fn searched(workers: usize, fields: &[usize], tries: usize) -> Standings {
    let left = Arc::new(AtomicUsize::new(tries));
    let attempt = move |_| Trying { left: Arc::clone(&left), fails_at: None };
    search(workers, fields, attempt, nothing_may_fail()).unwrap()
}

/// The same as a plain loop.
fn oracle(fields: &[usize]) -> Standings {
    let mut standings = Standings::new();
    let mut field: Vec<u64> = (0..fields[0] as u64).collect();
    for (rung, size) in (0..).zip(fields) {
        field.truncate(*size);
        let verdict =
            |candidate: &u64| Verdict { candidate: *candidate, loss: loss(rung, *candidate) };
        let mut verdicts: Vec<Verdict> = field.iter().map(verdict).collect();
        rank(&mut verdicts);
        field = verdicts.iter().map(|verdict| verdict.candidate).collect();
        standings.push(verdicts);
    }
    standings
}

#[test]
fn any_number_of_workers_finds_what_a_plain_loop_finds() {
    for fields in [&[16, 8, 4, 2][..], &[5, 5, 1], &[1], &[7, 3]] {
        for workers in [1, 2, 3, 40] {
            assert_eq!(
                searched(workers, fields, usize::MAX),
                oracle(fields),
                "{fields:?} {workers}"
            );
        }
    }
}

#[test]
fn a_search_that_stops_has_the_rungs_it_finished_and_nobody_goes_on_from_another() {
    for tries in 0..16 + 8 + 4 {
        let finished = usize::from(tries >= 16) + usize::from(tries >= 24);
        for workers in [1, 3] {
            let standings = searched(workers, &[16, 8, 4], tries);
            assert_eq!(standings, oracle(&[16, 8, 4])[..finished], "{tries} {workers}");
        }
    }
}

#[test]
fn a_candidate_that_cannot_be_tried_halts_the_search_at_its_rung() {
    let (send, halted) = mpsc::channel();
    let halt: Halt = Arc::new(move |failure| {
        send.send(failure).unwrap();
        std::thread::park();
    });
    let best = oracle(&[6, 3])[1][0].candidate;
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    std::thread::spawn(move || {
        let fails_at = Some((1, best));
        search(2, &[6, 3], move |_| Trying { left: Arc::clone(&left), fails_at }, halt)
    });
    let failure = halted.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!((failure.stage.as_str(), failure.step), ("attempt", Some(1)));
}
