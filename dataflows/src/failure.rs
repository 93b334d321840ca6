//! What ends a run that cannot go on.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::time::At;

/// The first thing that went wrong, and where.
///
/// A role makes one of its error with [`Failure::of`], and leaves the place to the graph, which knows it.
#[derive(Debug)]
pub struct Failure {
    /// The stage; empty until the graph says it.
    pub stage: String,
    /// The step, if it is the fault of one.
    pub step: Option<u64>,
    /// The logical shard, if it is the fault of one.
    pub shard: Option<u32>,
    /// What went wrong.
    pub cause: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure of a place that is yet to be said, as in `.map_err(Failure::of)?`.
    pub fn of(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Failure { stage: String::new(), step: None, shard: None, cause: cause.into() }
    }

    /// Says the stage and the step, where they are not said already.
    #[must_use]
    pub fn in_step(mut self, stage: &str, step: u64) -> Self {
        if self.stage.is_empty() {
            stage.clone_into(&mut self.stage);
        }
        self.step.get_or_insert(step);
        self
    }

    /// Says the stage, the step and the shard, where they are not said already.
    #[must_use]
    pub fn at(mut self, stage: &str, at: At) -> Self {
        self.shard.get_or_insert(at.shard);
        self.in_step(stage, at.step.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage `{}` failed", self.stage)?;
        if let Some(step) = self.step {
            write!(f, " at step {step}")?;
        }
        if let Some(shard) = self.shard {
            write!(f, ", shard {shard}")?;
        }
        Ok(())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// What a run does about a fatal failure: report it, end the process, never return.
///
/// It is called from the thread that failed, whichever that is. Where it does return (in tests), the
/// operator stays wedged: it keeps its capabilities and sends nothing more.
pub type Halt = Arc<dyn Fn(Failure) + Send + Sync>;

/// The same halt, for the first failure only: what fails after it fails because of it.
pub(crate) fn once(halt: Halt) -> Halt {
    let called = AtomicBool::new(false);
    Arc::new(move |failure| {
        if !called.swap(true, Ordering::AcqRel) {
            halt(failure);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Step;

    #[test]
    fn a_failure_says_where_and_leaves_the_cause_to_its_source() {
        let at = At { step: Step(3), shard: 1 };
        let failure = Failure::of("out of memory").at("teach", at);
        assert_eq!(failure.to_string(), "stage `teach` failed at step 3, shard 1");
        assert_eq!(failure.source().unwrap().to_string(), "out of memory");
        // What a role has said itself is kept.
        let failure = failure.in_step("graph", 9);
        assert_eq!((failure.stage.as_str(), failure.step), ("teach", Some(3)));
    }

    #[test]
    fn what_fails_after_the_first_failure_does_not_halt_again() {
        let (send, halted) = std::sync::mpsc::channel();
        let halt = once(Arc::new(move |failure: Failure| send.send(failure.stage).unwrap()));
        halt(Failure::of("out of memory").in_step("teach", 3));
        halt(Failure::of("no lesson").in_step("learn", 3));
        assert_eq!(halted.try_iter().collect::<Vec<_>>(), ["teach"]);
    }
}
