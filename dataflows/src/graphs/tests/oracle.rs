//! The oracle: on any workers and windows a graph leaves what a plain loop leaves.

use super::fakes::{Disk, World, assert_same, distil_by_loop, pass_by_loop};
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

/// Runs a graph over spans of `(end, every)` in every shape, each with its own jitter, against the loop.
fn assert_leaves_what_a_loop_leaves(
    spans: &[(u64, u64)],
    by_loop: impl Fn(Span, u32) -> Disk,
    on_graph: impl Fn(&World, &Shape) -> Outcome,
) {
    for &(end, every) in spans {
        let span = Span { resume: 0, end, every };
        let expected = by_loop(span, 4);
        for (jitter, shape) in shapes(span).enumerate() {
            let world = World { jitter: 200 + jitter as u64, ..World::default() };
            assert_eq!(on_graph(&world, &shape), Outcome::Finished);
            assert_same(&world.disk(), &expected, shape);
        }
    }
}

#[test]
fn distillation_leaves_what_a_loop_leaves_on_any_workers_and_windows() {
    let spans = [(25, 5), (24, 6), (13, 1), (7, 0), (0, 1)];
    assert_leaves_what_a_loop_leaves(&spans, distil_by_loop, |world, shape| {
        world.distil(shape, &Stop::new())
    });
}

#[test]
fn a_pass_leaves_what_a_loop_leaves_on_any_workers_and_windows() {
    assert_leaves_what_a_loop_leaves(&[(25, 5), (13, 1), (7, 0)], pass_by_loop, World::pass);
}

#[test]
fn a_run_resumed_on_other_workers_leaves_what_an_unbroken_one_leaves() {
    // Broken off at 12, where the student is judged anyway, so that the planned end does not show.
    let expected = distil_by_loop(Span { resume: 0, end: 25, every: 4 }, 3);
    let (first, then) =
        (Span { resume: 0, end: 12, every: 4 }, Span { resume: 12, end: 25, every: 4 });
    for (before, after) in [(1, 3), (3, 2), (2, 1)] {
        let world = World { jitter: 300, ..World::default() };
        for (workers, span) in [(before, first), (after, then)] {
            let shape = Shape { workers, shards: 3, window: 3, uncommitted: 5, span };
            assert_eq!(world.distil(&shape, &Stop::new()), Outcome::Finished);
        }
        assert_same(&world.disk(), &expected, (before, after));
    }
}

#[test]
fn more_workers_than_shards_do_no_harm() {
    let span = Span { resume: 0, end: 9, every: 3 };
    let world = World::default();
    let shape = Shape { workers: 4, shards: 1, window: 0, uncommitted: 0, span };
    assert_eq!(world.distil(&shape, &Stop::new()), Outcome::Finished);
    assert_same(&world.disk(), &distil_by_loop(span, 1), shape);
}
