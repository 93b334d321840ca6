//! A role that fails ends the run once, says where, and nothing after it is committed.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::fakes::{Fault, Source, Store, Teacher, World, nothing_may_fail};
use crate::graphs::{Pass, RunError, Shape, pass};
use crate::roles::{Fold, Staging};
use crate::{At, Failure, Halt, Span, Step, Stop};

fn shape(workers: usize) -> Shape {
    let span = Span { resume: 0, end: 40, every: 5 };
    Shape { workers, shards: 4, window: 3, uncommitted: 12, span }
}

/// Runs to the fault. The run never returns, since its halt does: its threads are left behind.
fn run_to(fault: Fault, workers: usize) -> (World, Failure) {
    let world = World { jitter: 100, fault: Some(fault), ..World::default() };
    let (send, halted) = mpsc::channel();
    let (running, finished) = mpsc::channel();
    let run = world.clone();
    std::thread::spawn(move || {
        let halt: Halt = Arc::new(move |failure| send.send(failure).unwrap());
        running.send(run.distil_or(&shape(workers), &Stop::new(), halt)).unwrap();
    });
    let failure = halted.recv_timeout(Duration::from_secs(60)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(halted.try_recv().is_err(), "halted twice by {fault:?}");
    assert!(finished.try_recv().is_err(), "a run with {fault:?} seemed to finish");
    (world, failure)
}

#[test]
fn a_role_that_fails_halts_once_says_where_and_nothing_after_it_is_committed() {
    let at = |step, shard| At { step: Step(step), shard };
    // The role, where it fails, what is said of it, and the checkpoints that it can leave: those that do
    // not depend on what failed, unless they were still under way.
    for (role, at, stage, shard, last) in [
        ("feed", at(17, 2), "feed", Some(2), 15),
        ("teach", at(17, 1), "teach", Some(1), 15),
        ("learn", at(17, 3), "learn", Some(3), 15),
        ("update", at(17, 0), "learn", None, 15),
        ("judge", at(18, 0), "judge", None, 15),
        ("stage", at(15, 0), "learn", None, 10),
        ("stage record", at(15, 0), "record", None, 10),
        ("commit", at(15, 0), "commit", None, 10),
    ] {
        for workers in [1, 3] {
            let fault = Fault { role, at };
            let (world, failure) = run_to(fault, workers);
            let place = (failure.stage.as_str(), failure.step, failure.shard);
            assert_eq!(place, (stage, Some(at.step.0), shard), "{fault:?}");
            assert_eq!(failure.cause.to_string(), "as was asked");
            let last_committed = world.disk().checkpoints.keys().next_back().copied();
            assert!(last_committed <= Some(last), "{last_committed:?} after {fault:?}");
        }
    }
}

struct Panics;
impl Fold for Panics {
    type Input = u64;
    fn fold(&mut self, _: At, _: u64) -> Result<(), Failure> {
        panic!("as was asked")
    }
    fn part(&mut self, _: Step) -> Staging {
        unreachable!("it never comes to a part")
    }
}

#[test]
fn a_panic_on_a_device_thread_becomes_one_of_the_worker_instead_of_a_wait_for_ever() {
    let world = World::default();
    let (feed, work) = (world.clone(), world.clone());
    let roles = Pass {
        feed: move |_| Source(feed.clone()),
        work: move |_| Teacher(work.clone()),
        fold: Panics,
        commit: Store(world.clone()),
    };
    let result = pass(&shape(1), roles, &Stop::new(), nothing_may_fail());
    assert!(matches!(result, Err(RunError::Worker { worker: 0, .. })), "{result:?}");
    assert!(world.disk().checkpoints.is_empty());
}
