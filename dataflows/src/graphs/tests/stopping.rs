//! A run that is stopped seals where it stops, and goes on to the bytes of one that was not.

use std::time::Duration;

use super::fakes::{World, assert_same, distil_by_loop, mix};
use crate::graphs::{Outcome, Shape};
use crate::{Span, Step, Stop};

/// Stops a run at a random moment, again and again, each time on other workers, until it has finished.
fn stopped_again_and_again(seed: u64) -> (World, Vec<u64>) {
    let world = World { jitter: 400, ..World::default() };
    let (mut resume, mut stops) = (0, vec![]);
    for round in 0.. {
        let drawn = mix(seed << 8 | round);
        let shape = Shape {
            workers: [1, 2, 3, 2][usize::from(drawn.to_le_bytes()[0] % 4)],
            shards: 4,
            window: 1 + drawn / 256 % 5,
            uncommitted: 1 + drawn / 65536 % 9,
            span: Span { resume, end: 60, every: 7 },
        };
        let stop = Stop::new();
        let alarm = stop.clone();
        let ring = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(mix(drawn) % 20_000));
            alarm.request();
        });
        let outcome = world.distil(&shape, &stop);
        ring.join().unwrap();
        let Outcome::Stopped { step: Step(step) } = outcome else {
            break;
        };
        assert!(resume < step && step < 60, "stopped at {step} of {resume}..60");
        let sealed = world.disk().checkpoints.keys().next_back().copied();
        assert_eq!(sealed, Some(step), "a stopped run is sealed where it stopped, and no further");
        stops.push(step);
        resume = step;
    }
    (world, stops)
}

#[test]
fn a_run_that_is_stopped_at_random_seals_and_goes_on_to_the_same_bytes() {
    let expected = distil_by_loop(Span { resume: 0, end: 60, every: 7 }, 4);
    let mut stopped = 0;
    for seed in 0..12 {
        let (world, stops) = stopped_again_and_again(seed);
        stopped += stops.len();
        let mut left = world.disk();
        // Where it stopped there is a checkpoint more; all others are the same.
        let extra = |step: &u64| !expected.checkpoints.contains_key(step);
        left.checkpoints.retain(|step, _| !extra(step));
        left.states.retain(|(_, step), _| !extra(step));
        assert_same(&left, &expected, (seed, stops));
    }
    assert!(stopped > 0, "no run was stopped, so nothing was tested");
}

#[test]
fn a_stop_before_the_first_step_ends_after_it() {
    let stop = Stop::new();
    stop.request();
    for workers in [1, 2, 3] {
        let world = World::default();
        let span = Span { resume: 0, end: 60, every: 0 };
        let shape = Shape { workers, shards: 3, window: 4, uncommitted: 60, span };
        assert_eq!(world.distil(&shape, &stop), Outcome::Stopped { step: Step(1) });
        assert_eq!(world.disk().checkpoints.keys().collect::<Vec<_>>(), [&1]);
        // A span of one step is not cut short, and so not stopped.
        let world = World::default();
        let shape = Shape { span: Span { end: 1, ..span }, ..shape };
        assert_eq!(world.distil(&shape, &stop), Outcome::Finished);
    }
}

#[test]
fn a_stop_that_waits_for_a_checkpoint_leaves_none_that_was_not_planned() {
    let asked = Stop::new();
    let stop = asked.at_checkpoints();
    asked.request();
    for (resume, window, expected) in [(0, 4, 7), (0, 7, 7), (7, 4, 14), (14, 8, 21)] {
        let world = World::default();
        let first = Span { resume: 0, end: resume, every: 7 };
        let shape = Shape { workers: 2, shards: 3, window, uncommitted: 7, span: first };
        if resume > 0 {
            assert_eq!(world.distil(&shape, &Stop::new()), Outcome::Finished);
        }
        let shape = Shape { span: Span { resume, end: 60, every: 7 }, ..shape };
        assert_eq!(world.distil(&shape, &stop), Outcome::Stopped { step: Step(expected) });
        assert!(world.disk().checkpoints.keys().all(|step| step.is_multiple_of(7)));
        // Behind the last multiple there is only the end.
        let shape = Shape { span: Span { end: 6, resume: 0, every: 7 }, ..shape };
        assert_eq!(World::default().distil(&shape, &stop), Outcome::Finished);
    }
}
