//! The commit: durable parts become a checkpoint.

use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;
use timely::container::NoopBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use super::stage::Staged;
use crate::course::Course;
use crate::device::Device;
use crate::failure::{Failure, Halt};
use crate::roles::{Commit, Part};
use crate::time::Step;

/// The frontier said that a checkpoint is complete, and it is not: a stage has not done what it owes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("checkpoint {step} is not whole: expected a part of each of {expected:?}, found {found:?}")]
pub struct NotWhole {
    /// The checkpoint.
    pub step: u64,
    /// The stages of the graph.
    pub expected: Vec<String>,
    /// The stages that sent parts, in order.
    pub found: Vec<String>,
}

/// Extension trait for the parts of all stages.
pub trait CommitWhole<'scope> {
    /// Commits each checkpoint of the course, in order, when its parts are durable.
    ///
    /// Takes the parts of the checkpoint at `t` at `t`, from all workers, to worker 0. When the frontier
    /// passes `t` no part can be missing any more: it checks that each of `stages` sent its own, once, and
    /// hands them to `commit` on a thread of its own, in the order of `stages`. Sends nothing; its frontier
    /// passes `t` once `t` is committed. A checkpoint that is not whole halts the run, with [`NotWhole`].
    ///
    /// # Examples
    /// ```
    /// use dataflows::course::Course;
    /// use dataflows::operators::{CommitWhole, Stage};
    /// use dataflows::roles::{Commit, Part, Staging};
    /// use dataflows::{Failure, Halt, Span, Step};
    /// use timely::dataflow::operators::ToStream;
    ///
    /// struct First;
    /// impl Commit for First {
    ///     fn commit(&mut self, step: Step, _: Vec<Part>) -> Result<(), Failure> {
    ///         assert_eq!(step, Step(1));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// timely::example(|scope| {
    ///     let halt: Halt = std::sync::Arc::new(|_: Failure| std::process::abort());
    ///     let course = Course::new(Span { resume: 0, end: 1, every: 0 });
    ///     [(Step(1), Box::new(|| Ok(vec![])) as Staging)]
    ///         .to_stream(scope)
    ///         .container::<Vec<_>>()
    ///         .stage("learn", &halt)
    ///         .commit_whole(&course, &["learn"], &halt, Some(First));
    /// });
    /// ```
    fn commit_whole<C: Commit>(
        self,
        course: &Course,
        stages: &'static [&'static str],
        halt: &Halt,
        commit: Option<C>,
    ) -> StreamVec<'scope, u64, ()>;
}

impl<'scope> CommitWhole<'scope> for StreamVec<'scope, u64, Staged> {
    fn commit_whole<C: Commit>(
        self,
        course: &Course,
        stages: &'static [&'static str],
        halt: &Halt,
        commit: Option<C>,
    ) -> StreamVec<'scope, u64, ()> {
        let (course, halt) = (course.clone(), Halt::clone(halt));
        let worker = self.scope().worker();
        let to_one = Exchange::new(|_: &Staged| 0);
        self.unary_frontier::<NoopBuilder<Vec<()>>, _, _, _>(
            to_one,
            "Commit",
            move |_capability, info| {
                let activator = worker.sync_activator_for(info.address.to_vec());
                let mut device = commit.map(|commit| {
                    Device::spawn("commit", activator, Halt::clone(&halt), committing(commit))
                });
                let mut open: BTreeMap<u64, (Vec<Staged>, Capability<u64>)> = BTreeMap::new();
                let mut committing: VecDeque<Capability<u64>> = VecDeque::new();
                let mut next = course.resume();
                let mut wedged = false;
                move |(input, frontier), output| {
                    let port = output.output_index();
                    input.for_each(|capability, staged| {
                        let capability =
                            capability.retain_least(port).expect("parts travel at a step");
                        let time = *capability.time();
                        open.entry(time).or_insert((vec![], capability)).0.append(staged);
                    });
                    let Some(device) = device.as_mut() else {
                        return;
                    };
                    while !wedged && next <= course.end() && !frontier.less_equal(&next.0) {
                        if course.is_checkpoint(next) {
                            let (staged, capability) = open.remove(&next.0).unzip();
                            committing.extend(capability);
                            match whole(next, stages, staged.unwrap_or_default()) {
                                Ok(parts) => device.submit((next, parts)),
                                Err(torn) => {
                                    wedged = true;
                                    halt(Failure::of(torn).in_step("commit", next.0));
                                }
                            }
                        }
                        next = Step(next.0 + 1);
                    }
                    while device.poll().is_some() {
                        committing.pop_front();
                    }
                }
            },
        )
    }
}

/// The work of the thread.
fn committing<C: Commit>(
    mut commit: C,
) -> impl FnMut((Step, Vec<Part>), std::time::Duration) -> Result<(), Failure> + Send {
    move |(step, parts), _waited| {
        commit.commit(step, parts).map_err(|failure| failure.in_step("commit", step.0))
    }
}

/// The parts of a checkpoint in the order of its stages, if each has sent its own, once.
fn whole(step: Step, stages: &[&str], mut staged: Vec<Staged>) -> Result<Vec<Part>, NotWhole> {
    staged.sort_by_key(|staged| stages.iter().position(|stage| *stage == staged.stage));
    if staged.iter().map(|staged| staged.stage.as_str()).eq(stages.iter().copied()) {
        return Ok(staged.into_iter().flat_map(|staged| staged.parts).collect());
    }
    Err(NotWhole {
        step: step.0,
        expected: stages.iter().map(|stage| (*stage).to_owned()).collect(),
        found: staged.into_iter().map(|staged| staged.stage).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use timely::dataflow::operators::ToStream;

    use super::*;
    use crate::operators::Stage;
    use crate::roles::Staging;
    use crate::time::Span;

    struct Log(Arc<Mutex<Vec<u64>>>);

    impl Commit for Log {
        fn commit(&mut self, step: Step, _: Vec<Part>) -> Result<(), Failure> {
            self.0.lock().unwrap().push(step.0);
            Ok(())
        }
    }

    #[test]
    fn a_checkpoint_without_the_part_of_each_stage_halts_and_is_never_committed() {
        let committed = Arc::new(Mutex::new(vec![]));
        let log = Log(Arc::clone(&committed));
        let (send, halted) = mpsc::channel();
        // `record` has let go of the checkpoint at 1 without a part; a dropped hold looks like this. The
        // graph is wedged then, and its thread left behind.
        std::thread::spawn(move || {
            timely::example(move |scope| {
                let halt: Halt = Arc::new(move |failure| send.send(failure).unwrap());
                let course = Course::new(Span { resume: 0, end: 1, every: 1 });
                [(Step(1), Box::new(|| Ok(vec![])) as Staging)]
                    .to_stream(scope)
                    .container::<Vec<_>>()
                    .stage("learn", &halt)
                    .commit_whole(&course, &["learn", "record"], &halt, Some(log));
            });
        });
        let failure = halted.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!((failure.stage.as_str(), failure.step), ("commit", Some(1)));
        let torn = NotWhole {
            step: 1,
            expected: vec!["learn".to_owned(), "record".to_owned()],
            found: vec!["learn".to_owned()],
        };
        assert_eq!(failure.cause.downcast_ref(), Some(&torn));
        assert!(halted.recv_timeout(Duration::from_millis(50)).is_err(), "halted twice");
        assert!(committed.lock().unwrap().is_empty());
    }

    #[test]
    fn parts_are_handed_over_in_the_order_of_the_stages_and_none_comes_twice() {
        let part = |stage: &str| Part {
            stage: stage.to_owned(),
            name: String::new(),
            bytes: 0,
            digest: String::new(),
        };
        let staged = |stage: &str| Staged { stage: stage.to_owned(), parts: vec![part(stage)] };
        let stages = ["learn", "record"];
        let parts = whole(Step(1), &stages, vec![staged("record"), staged("learn")]);
        assert_eq!(parts, Ok(vec![part("learn"), part("record")]));
        for torn in [vec![], vec!["learn"], vec!["learn", "learn"], vec!["learn", "record", "x"]] {
            let torn = torn.into_iter().map(staged).collect();
            assert!(whole(Step(1), &stages, torn).is_err());
        }
    }
}
