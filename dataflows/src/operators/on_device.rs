//! Long work, on a device thread.

use std::collections::VecDeque;
use std::time::Duration;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;

use crate::device::Device;
use crate::failure::{Failure, Halt};

/// Extension trait for work that must not run on a worker thread.
pub trait OnDevice<'scope, D> {
    /// Maps each message to any number of results, in order, on a thread of its own.
    ///
    /// Takes messages at `t`; sends their results at `t`, and holds `t` meanwhile. The thread starts with
    /// the first message, and `work` is told how long it has waited for each. A worker that will see no
    /// message has no `work`. Work that fails halts the run, and wedges the operator.
    ///
    /// # Examples
    /// ```
    /// use dataflows::operators::OnDevice;
    /// use dataflows::{Failure, Halt};
    /// use timely::dataflow::operators::{Inspect, ToStream};
    ///
    /// timely::example(|scope| {
    ///     let halt: Halt = std::sync::Arc::new(|_: Failure| std::process::abort());
    ///     let mut expected = 1..;
    ///     (0..9u64).to_stream(scope)
    ///         .container::<Vec<_>>()
    ///         .on_device("increment", &halt, Some(|x, _waited| Ok([x + 1])))
    ///         .inspect(move |x| assert_eq!(Some(*x), expected.next()));
    /// });
    /// ```
    fn on_device<R, I, W>(
        self,
        name: &str,
        halt: &Halt,
        work: Option<W>,
    ) -> StreamVec<'scope, u64, R>
    where
        R: 'static,
        I: IntoIterator<Item = R> + Send + 'static,
        W: FnMut(D, Duration) -> Result<I, Failure> + Send + 'static;
}

impl<'scope, D: Send + 'static> OnDevice<'scope, D> for StreamVec<'scope, u64, D> {
    fn on_device<R, I, W>(
        self,
        name: &str,
        halt: &Halt,
        work: Option<W>,
    ) -> StreamVec<'scope, u64, R>
    where
        R: 'static,
        I: IntoIterator<Item = R> + Send + 'static,
        W: FnMut(D, Duration) -> Result<I, Failure> + Send + 'static,
    {
        delayed_on_device(self, name, 0, halt, work)
    }
}

/// The same, with the results of a message at `t` sent at `t + delay`.
pub(super) fn delayed_on_device<'scope, D, R, I, W>(
    stream: StreamVec<'scope, u64, D>,
    name: &str,
    delay: u64,
    halt: &Halt,
    work: Option<W>,
) -> StreamVec<'scope, u64, R>
where
    D: Send + 'static,
    R: 'static,
    I: IntoIterator<Item = R> + Send + 'static,
    W: FnMut(D, Duration) -> Result<I, Failure> + Send + 'static,
{
    let scope = stream.scope();
    let (name, halt) = (name.to_owned(), Halt::clone(halt));
    let mut builder = OperatorBuilder::new(name.clone(), scope);
    let address = builder.operator_info().address.to_vec();
    let mut input = builder.new_input_connection(stream, Pipeline, []);
    // The delay is a promise to timely: the frontier of the output is that of the input, and so much later.
    let (output, results) = builder.new_output_connection([(0, Antichain::from_elem(delay))]);
    let mut output = OutputBuilder::from(output);
    let activator = scope.worker().sync_activator_for(address);
    builder.build(move |capabilities| {
        drop(capabilities); // Nothing is sent unprompted.
        let mut start = work.map(|work| move || Device::spawn(&name, activator, halt, work));
        let mut device = None;
        let mut pending: VecDeque<Capability<u64>> = VecDeque::new();
        move |_frontiers: &[MutableAntichain<u64>]| {
            let mut output = output.activate();
            let port = output.output_index();
            input.for_each(|capability, messages| {
                let time = capability.least().expect("messages travel at a step") + delay;
                if device.is_none() {
                    device = start.take().map(|start| start());
                }
                let device = device.as_mut().expect("a worker with messages has work for them");
                for message in messages.drain(..) {
                    pending.push_back(capability.delayed(&time, port));
                    device.submit(message);
                }
            });
            while let Some(results) = device.as_mut().and_then(Device::poll) {
                let capability = pending.pop_front().expect("one for each message on the device");
                output.session(&capability).give_iterator(results.into_iter());
            }
        }
    });
    results
}
