//! Micro-batches of all workers, on one worker, in the order of their places.

use std::collections::BTreeMap;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;

use crate::roles::Message;
use crate::time::{At, Step};

/// Extension trait for streams of what was made at each place.
pub trait InOrder<'scope, M> {
    /// Brings the messages of all workers to worker 0, and hands them on in the order (step, shard).
    ///
    /// Takes one message for each of `shards` shards of each step from `resume` on, in any order, at its
    /// step; sends it at its step as soon as all before it are sent, without waiting for the frontier.
    ///
    /// # Panics
    /// Where a place comes twice, or is not a place of the run: the graph is wired wrongly.
    ///
    /// # Examples
    /// ```
    /// use dataflows::operators::InOrder;
    /// use dataflows::{At, Step};
    /// use timely::dataflow::operators::{Inspect, ToStream};
    ///
    /// timely::example(|scope| {
    ///     let mut expected = (0..4).map(|shard| At { step: Step(0), shard });
    ///     [2, 0, 3, 1].map(|shard| (At { step: Step(0), shard }, ()))
    ///         .to_stream(scope)
    ///         .container::<Vec<_>>()
    ///         .in_order(Step(0), 4)
    ///         .inspect(move |(at, ())| assert_eq!(Some(*at), expected.next()));
    /// });
    /// ```
    fn in_order(self, resume: Step, shards: u32) -> StreamVec<'scope, u64, (At, M)>;
}

impl<'scope, M: Message> InOrder<'scope, M> for StreamVec<'scope, u64, (At, M)> {
    fn in_order(self, resume: Step, shards: u32) -> StreamVec<'scope, u64, (At, M)> {
        let to_one = Exchange::new(|_: &(At, M)| 0);
        self.unary(to_one, "InOrder", move |_capability, _info| {
            let mut next = At { step: resume, shard: 0 };
            let mut early = BTreeMap::new();
            move |input, output| {
                let port = output.output_index();
                input.for_each(|capability, messages| {
                    for (at, message) in messages.drain(..) {
                        let capability = capability.retain_least(port);
                        let capability = capability.expect("messages travel at a step");
                        assert!(at >= next && at.shard < shards, "{at:?} came after {next:?}");
                        let twice = early.insert(at, (message, capability));
                        assert!(twice.is_none(), "{at:?} came twice");
                    }
                });
                while let Some((message, capability)) = early.remove(&next) {
                    output.session(&capability).give((next, message));
                    next = after(next, shards);
                }
            }
        })
    }
}

fn after(At { step, shard }: At, shards: u32) -> At {
    if shard + 1 < shards {
        At { step, shard: shard + 1 }
    } else {
        At { step: Step(step.0 + 1), shard: 0 }
    }
}

#[cfg(test)]
mod tests {
    use timely::dataflow::operators::{Inspect, ToStream};

    use super::*;

    fn order_of(places: Vec<(u64, u32)>) {
        timely::example(move |scope| {
            let mut next = At { step: Step(0), shard: 0 };
            places
                .into_iter()
                .map(|(step, shard)| (At { step: Step(step), shard }, ()))
                .to_stream(scope)
                .container::<Vec<_>>()
                .in_order(Step(0), 2)
                .inspect(move |(at, ())| {
                    assert_eq!(*at, next);
                    next = after(next, 2);
                });
        });
    }

    #[test]
    fn places_leave_in_order_across_steps() {
        order_of(vec![(1, 1), (0, 1), (1, 0), (0, 0)]);
    }

    #[test]
    #[should_panic(expected = "came twice")]
    fn a_place_that_waits_may_not_come_again() {
        order_of(vec![(0, 1), (0, 1)]);
    }

    #[test]
    #[should_panic(expected = "came after")]
    fn a_shard_that_no_step_has_is_refused() {
        order_of(vec![(0, 2)]);
    }
}
