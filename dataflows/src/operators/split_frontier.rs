//! The progress of a stream, apart from its messages.

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Extension trait for any stream.
pub trait SplitFrontier<'scope, D>: Sized {
    /// The stream as it is, and a stream without messages that has its frontier: what a feedback edge is
    /// made of.
    ///
    /// # Examples
    /// ```
    /// use dataflows::operators::SplitFrontier;
    /// use timely::dataflow::operators::{Inspect, ToStream};
    ///
    /// timely::example(|scope| {
    ///     let (stream, progress) = (0..9).to_stream(scope).container::<Vec<_>>().split_frontier();
    ///     stream.inspect(|x| assert!(*x < 9));
    ///     progress.inspect(|()| unreachable!("it is empty"));
    /// });
    /// ```
    fn split_frontier(self) -> (Self, StreamVec<'scope, u64, ()>);
}

impl<'scope, D: 'static> SplitFrontier<'scope, D> for StreamVec<'scope, u64, D> {
    fn split_frontier(self) -> (Self, StreamVec<'scope, u64, ()>) {
        let mut builder = OperatorBuilder::new("SplitFrontier".to_owned(), self.scope());
        let mut input = builder.new_input(self, Pipeline);
        let (output, stream) = builder.new_output::<Vec<D>>();
        let (_silent, progress) = builder.new_output();
        let mut output = OutputBuilder::from(output);
        builder.build(move |_capabilities| {
            move |_frontiers| {
                let mut output = output.activate();
                input.for_each(|capability, messages| {
                    output.session(&capability).give_container(messages);
                });
            }
        });
        (stream, progress)
    }
}
