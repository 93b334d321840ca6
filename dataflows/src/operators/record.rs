//! What is known of the steps, by the checkpoint it belongs to.

use std::collections::VecDeque;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use crate::course::Course;
use crate::roles::{Record, Staging, Waits};
use crate::time::Step;

/// Extension trait for the reports of the steps, with the waits of each.
pub trait RecordRows<'scope, R, V> {
    /// Hands reports and verdicts to `record`, and sends its state at each checkpoint.
    ///
    /// Takes the report of step `t`, one for each step and in their order, and the verdict on the state at
    /// `t + 1`, both at `t`. Sends the state of the checkpoint at `t + 1` at `t`, once both frontiers have
    /// passed `t`: all that belongs to it has been handed over then, and nothing of later steps has, since
    /// those are held back from where a checkpoint is due. Otherwise reports are handed over as they come;
    /// a judge that takes its time does not hide the progress of training.
    ///
    /// The worker that hosts no record gives none, and receives nothing.
    ///
    /// # Examples
    /// ```
    /// use dataflows::course::Course;
    /// use dataflows::operators::RecordRows;
    /// use dataflows::roles::{Record, Staging, Waits};
    /// use dataflows::{Span, Step};
    /// use timely::dataflow::operators::{Inspect, ToStream};
    ///
    /// struct Losses(Vec<f32>);
    /// impl Record for Losses {
    ///     type Report = f32;
    ///     type Verdict = ();
    ///     fn report(&mut self, _: Step, loss: f32, _: Waits) {
    ///         self.0.push(loss);
    ///     }
    ///     fn verdict(&mut self, _: Step, _: ()) {}
    ///     fn part(&mut self, _: Step) -> Staging {
    ///         assert_eq!(self.0, [0.5]);
    ///         Box::new(|| Ok(vec![]))
    ///     }
    /// }
    ///
    /// timely::example(|scope| {
    ///     let course = Course::new(Span { resume: 0, end: 1, every: 0 });
    ///     let verdicts = None::<(Step, ())>.to_stream(scope).container::<Vec<_>>();
    ///     [(Step(0), 0.5, Waits::default())]
    ///         .to_stream(scope)
    ///         .container::<Vec<_>>()
    ///         .record_rows(verdicts, &course, Some(Losses(vec![])))
    ///         .inspect(|(step, _)| assert_eq!(*step, Step(1)));
    /// });
    /// ```
    fn record_rows<C>(
        self,
        verdicts: StreamVec<'scope, u64, (Step, V)>,
        course: &Course,
        record: Option<C>,
    ) -> StreamVec<'scope, u64, (Step, Staging)>
    where
        C: Record<Report = R, Verdict = V>;
}

impl<'scope, R: 'static, V: 'static> RecordRows<'scope, R, V>
    for StreamVec<'scope, u64, (Step, R, Waits)>
{
    fn record_rows<C>(
        self,
        verdicts: StreamVec<'scope, u64, (Step, V)>,
        course: &Course,
        mut record: Option<C>,
    ) -> StreamVec<'scope, u64, (Step, Staging)>
    where
        C: Record<Report = R, Verdict = V>,
    {
        let mut course = course.clone();
        self.binary_frontier(verdicts, Pipeline, Pipeline, "Record", move |_capability, _info| {
            let mut rows = Rows::new(course.resume());
            move |(reports, reported), (verdicts, judged), output| {
                let Some(record) = record.as_mut() else {
                    return;
                };
                let port = output.output_index();
                reports.for_each(|capability, batch| {
                    for (step, report, waits) in batch.drain(..) {
                        let capability = capability.retain_least(port);
                        let capability = capability.expect("reports travel at their step");
                        rows.reports.push_back((step, report, waits, capability));
                    }
                });
                verdicts.for_each(|_, batch| rows.verdicts.extend(batch.drain(..)));
                let passed = |time: u64| !reported.less_equal(&time) && !judged.less_equal(&time);
                while let Some((step, staging, capability)) =
                    rows.hand_over(record, &mut course, passed)
                {
                    output.session(&capability).give((step, staging));
                }
            }
        })
    }
}

/// What has come, and how far it has been handed over.
struct Rows<R, V> {
    reports: VecDeque<(Step, R, Waits, Capability<u64>)>,
    verdicts: VecDeque<(Step, V)>,
    /// All steps before it have been reported.
    reached: Step,
    /// Where a checkpoint is due at `reached`: the capability to send it.
    due: Option<Capability<u64>>,
}

impl<R, V> Rows<R, V> {
    fn new(resume: Step) -> Self {
        Rows { reports: VecDeque::new(), verdicts: VecDeque::new(), reached: resume, due: None }
    }

    /// Hands over what may be, up to and with the next checkpoint that is complete.
    fn hand_over<C: Record<Report = R, Verdict = V>>(
        &mut self,
        record: &mut C,
        course: &mut Course,
        passed: impl Fn(u64) -> bool,
    ) -> Option<(Step, Staging, Capability<u64>)> {
        loop {
            while let Some((step, verdict)) = self.verdicts.pop_front_if(|v| v.0 <= self.reached) {
                record.verdict(step, verdict);
            }
            if let Some(capability) = self.due.take() {
                if !passed(*capability.time()) {
                    self.due = Some(capability);
                    return None;
                }
                return Some((self.reached, record.part(self.reached), capability));
            }
            let (step, report, waits, capability) = self.reports.pop_front()?;
            assert_eq!(step, self.reached, "steps are reported once, and in order");
            record.report(step, report, waits);
            self.reached = Step(step.0 + 1);
            self.due = course.is_checkpoint(self.reached).then_some(capability);
        }
    }
}
