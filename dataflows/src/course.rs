//! The course of a run: its span, and its end, which a stop moves.
//!
//! # Moving the end
//!
//! A run that is asked to stop ends early as if it had been meant to: its end is moved, in band, and it runs
//! to it, seals there, and is finished. The end is one number, shared by all operators of the process, that
//! only ever falls. It can be read without agreement because of two facts. Let the source, which is one and on
//! worker 0, stand at step `s`, having sent all before it, and set the end to `s + 1` or later.
//!
//! 1. *Nobody has passed the new end.* Only the source begins steps, and it has not sent `s`.
//! 2. *A stage that stands at `t` knows whether `t` is the end.* It has all of step `t - 1`, so the source had
//!    sent `t - 1`, and stood at `t` or later: any end set after that is later than `t`. An end set before
//!    that was set before `t - 1` was sent, which is what the stage has received.
//!
//! The stages that ask are on worker 0, as the source is. So a run on several processes needs no more: the end
//! moves in the first of them, and the others see that nothing comes any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::{Span, Step};

/// The steps of one run. Clones share the end.
///
/// # Examples
/// ```
/// use dataflows::course::Course;
/// use dataflows::{Span, Step};
///
/// let course = Course::new(Span { resume: 0, end: 100, every: 10 });
/// assert!(course.is_checkpoint(Step(20)) && !course.is_checkpoint(Step(25)));
/// assert_eq!([11, 20, 99].map(|step| course.next_planned(Step(step)).0), [20, 20, 100]);
/// course.end_by(Step(25));
/// assert_eq!(course.end(), Step(25));
/// assert!(course.is_checkpoint(Step(25)), "a run is sealed where it ends");
/// ```
#[derive(Clone, Debug)]
pub struct Course {
    span: Span,
    end: Arc<AtomicU64>,
}

impl Course {
    /// The course that the span plans.
    pub fn new(span: Span) -> Self {
        // A span that ends before it resumes has no steps.
        let span = Span { end: span.end.max(span.resume), ..span };
        Course { span, end: Arc::new(AtomicU64::new(span.end)) }
    }

    /// The first step.
    pub fn resume(&self) -> Step {
        Step(self.span.resume)
    }

    /// The end as it was planned.
    pub fn planned_end(&self) -> Step {
        Step(self.span.end)
    }

    /// The end as it is now.
    pub fn end(&self) -> Step {
        Step(self.end.load(Ordering::Acquire))
    }

    /// Moves the end to `step`, if it is later. Only the source on worker 0 may; see the module.
    pub fn end_by(&self, step: Step) {
        self.end.fetch_min(step.0, Ordering::AcqRel);
    }

    /// The first step from `step` on at which a checkpoint was planned.
    pub fn next_planned(&self, step: Step) -> Step {
        let every = self.span.every;
        let multiple = if every == 0 { None } else { step.0.checked_next_multiple_of(every) };
        Step(multiple.unwrap_or(self.span.end).min(self.span.end))
    }

    /// Whether the state at `step` is a checkpoint. The state that was resumed from is one already.
    pub fn is_checkpoint(&self, step: Step) -> bool {
        step > self.resume()
            && step <= self.end()
            && (step == self.end() || is_multiple(step, self.span.every))
    }

    /// Whether the state at `step` is judged: at each multiple of `every` and at the planned end, but not
    /// where a stop moved the end to, since what a run says must not show that it was stopped.
    pub fn is_judged(&self, step: Step, every: u64) -> bool {
        step > self.resume() && (step == self.planned_end() || is_multiple(step, every))
    }
}

fn is_multiple(step: Step, every: u64) -> bool {
    every != 0 && step.0.is_multiple_of(every)
}
