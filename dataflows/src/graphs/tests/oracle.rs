use super::fakes::{World, assert_same, distil_by_loop, pass_by_loop};
use crate::graphs::{Outcome, Shape};
use crate::{Span, Stop};

fn shapes(span: Span) -> impl Iterator<Item = Shape> {
    [1, 2, 3].into_iter().flat_map(move |workers| {
        [(1, 1), (2, 7), (8, 8)].map(|(window, uncommitted)| Shape {
            workers,
            shards: 4,
            window,
            uncommitted,
            span,
        })
    })
}

#[test]
fn distillation_leaves_what_a_loop_leaves_on_any_workers_and_windows() {
    for span in [
        Span {
            resume: 0,
            end: 25,
            every: 5,
        },
        Span {
            resume: 0,
            end: 24,
            every: 6,
        },
        Span {
            resume: 0,
            end: 13,
            every: 1,
        },
        Span {
            resume: 0,
            end: 7,
            every: 0,
        },
        Span {
            resume: 0,
            end: 0,
            every: 1,
        },
    ] {
        let expected = distil_by_loop(span, 4);
        for (jitter, shape) in shapes(span).enumerate() {
            let world = World {
                jitter: 200 + jitter as u64,
                ..World::default()
            };
            assert_eq!(world.distil(&shape, &Stop::new()), Outcome::Finished);
            assert_same(&world.disk(), &expected, shape);
        }
    }
}

#[test]
fn a_pass_leaves_what_a_loop_leaves_on_any_workers_and_windows() {
    for span in [
        Span {
            resume: 0,
            end: 25,
            every: 5,
        },
        Span {
            resume: 0,
            end: 13,
            every: 1,
        },
        Span {
            resume: 0,
            end: 7,
            every: 0,
        },
    ] {
        let expected = pass_by_loop(span, 4);
        for (jitter, shape) in shapes(span).enumerate() {
            let world = World {
                jitter: 200 + jitter as u64,
                ..World::default()
            };
            assert_eq!(world.pass(&shape), Outcome::Finished);
            assert_same(&world.disk(), &expected, shape);
        }
    }
}

#[test]
fn a_run_resumed_on_other_workers_leaves_what_an_unbroken_one_leaves() {
    // Broken off at 12, where the student is judged anyway, so that the planned end does not show.
    let expected = distil_by_loop(
        Span {
            resume: 0,
            end: 25,
            every: 4,
        },
        3,
    );
    let (first, then) = (
        Span {
            resume: 0,
            end: 12,
            every: 4,
        },
        Span {
            resume: 12,
            end: 25,
            every: 4,
        },
    );
    for (before, after) in [(1, 3), (3, 2), (2, 1)] {
        let world = World {
            jitter: 300,
            ..World::default()
        };
        for (workers, span) in [(before, first), (after, then)] {
            let shape = Shape {
                workers,
                shards: 3,
                window: 3,
                uncommitted: 5,
                span,
            };
            assert_eq!(world.distil(&shape, &Stop::new()), Outcome::Finished);
        }
        assert_same(&world.disk(), &expected, (before, after));
    }
}

#[test]
fn more_workers_than_shards_do_no_harm() {
    let span = Span {
        resume: 0,
        end: 9,
        every: 3,
    };
    let world = World::default();
    let shape = Shape {
        workers: 4,
        shards: 1,
        window: 0,
        uncommitted: 0,
        span,
    };
    assert_eq!(world.distil(&shape, &Stop::new()), Outcome::Finished);
    assert_same(&world.disk(), &distil_by_loop(span, 1), shape);
}
