//! The source: the places of the micro-batches, no faster than they are consumed.
//!
//! There is one, on worker 0, and the places are dealt from it to the workers of all processes. So there is one that
//! can move the end of the run, and nobody who could have gone beyond it: see [`course`](crate::course).

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};

use crate::course::Course;
use crate::time::{At, Step, Stop};

/// Sends the places of each step of the course, in order: to each worker those of the shards it hosts.
///
/// Takes `behind`, of which only the frontier matters: step `t` is sent once it has passed `t`. Made of
/// feedback edges it bounds what is in flight, on all workers together since frontiers are global.
/// Where a stop is requested, the step at which the source stands is the last, or that of the next checkpoint.
///
/// # Examples
/// ```
/// use dataflows::course::Course;
/// use dataflows::operators::paced;
/// use dataflows::{Span, Stop};
/// use timely::dataflow::operators::{ConnectLoop, Feedback, Inspect};
/// use timely::dataflow::operators::vec::Map;
///
/// timely::example(|scope| {
///     let course = Course::new(Span { resume: 3, end: 5, every: 0 });
///     let (done, behind) = scope.feedback(1);
///     let mut expected = vec![(3, 0), (3, 1), (4, 0), (4, 1)].into_iter();
///     paced(scope, &course, 2, &Stop::new(), behind)
///         .inspect(move |at| assert_eq!(Some((at.step.0, at.shard)), expected.next()))
///         .flat_map(|_| None)
///         .connect_loop(done);
/// });
/// ```
pub fn paced<'scope>(
    scope: Scope<'scope, u64>,
    course: &Course,
    shards: u32,
    stop: &Stop,
    behind: StreamVec<'scope, u64, ()>,
) -> StreamVec<'scope, u64, At> {
    let (course, stop) = (course.clone(), stop.clone());
    let is_source = scope.index() == 0;
    let mut builder = OperatorBuilder::new("Paced".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    // Not connected to the output: we listen to a frontier, and answer no message.
    let _behind = builder.new_input_connection(behind, Pipeline, []);
    let (output, places) = builder.new_output_connection([]);
    let mut output = OutputBuilder::from(output);
    builder.build(move |mut capabilities| {
        // The others let go of theirs at once, and say nothing.
        let mut capability = capabilities.pop().filter(|_| is_source);
        if let Some(capability) = &mut capability {
            capability.downgrade(&course.resume().0);
        }
        move |frontiers| {
            let Some(next) = capability.as_mut() else {
                return;
            };
            let step = *next.time();
            if stop.requested() {
                let earliest = Step(step.saturating_add(1));
                let end = match stop.waits_for_checkpoint() {
                    true => course.next_planned(earliest),
                    false => earliest,
                };
                course.end_by(end);
            }
            if step >= course.end().0 {
                // Dropping the capability is how a source ends; nothing else will.
                capability = None;
                return;
            }
            if frontiers[0].less_equal(&step) {
                return; // Scheduled again when that changes.
            }
            let mut handle = output.activate();
            let places = (0..shards).map(|shard| At { step: Step(step), shard });
            handle.session(&*next).give_iterator(places);
            next.downgrade(&(step + 1));
            // One step an activation: a source that loops starves the others.
            activator.activate();
        }
    });
    places.exchange(|at: &At| at.shard.into())
}
