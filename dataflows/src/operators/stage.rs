//! The hold on the parts: a stage's state, made durable beside the work.

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;

use super::on_device::delayed_on_device;
use crate::failure::Halt;
use crate::roles::{Part, Staging};
use crate::time::Step;

/// What one stage made durable for one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The stage, by its name in the graph.
    pub stage: String,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// Extension trait for a stage's states as it set them aside, by the checkpoint they belong to.
pub trait Stage<'scope> {
    /// Makes the states durable, on a thread of its own, and sends their description.
    ///
    /// Takes the state of the checkpoint at `t` at time `t - 1`, that of the step that made it. Sends its
    /// parts at `t`.
    ///
    /// The stage owes a part to each checkpoint that it has not reached, and what holds those is its
    /// progress: the operator tells timely that what arrives at `t` can be answered at `t + 1`, so the
    /// frontier of the parts is that of the stage plus one, less the staging under way. The hold thus
    /// moves step by step, as it must where a stop can make any step to come a checkpoint, and there is no
    /// capability that a stage could drop or forget.
    ///
    /// # Examples
    /// ```
    /// use dataflows::operators::Stage;
    /// use dataflows::roles::Staging;
    /// use dataflows::{Failure, Halt, Step};
    /// use timely::dataflow::operators::{Inspect, ToStream};
    ///
    /// timely::example(|scope| {
    ///     let halt: Halt = std::sync::Arc::new(|_: Failure| std::process::abort());
    ///     [(Step(1), Box::new(|| Ok(vec![])) as Staging)]
    ///         .to_stream(scope)
    ///         .container::<Vec<_>>()
    ///         .stage("learn", &halt)
    ///         .inspect(|staged| assert_eq!(&*staged.stage, "learn"));
    /// });
    /// ```
    fn stage(self, name: &'static str, halt: &Halt) -> StreamVec<'scope, u64, Staged>;
}

impl<'scope> Stage<'scope> for StreamVec<'scope, u64, (Step, Staging)> {
    fn stage(self, name: &'static str, halt: &Halt) -> StreamVec<'scope, u64, Staged> {
        let thread = format!("stage {name}");
        let stage = move |(step, staging): (Step, Staging), _waited| {
            let parts = staging().map_err(|failure| failure.in_step(name, step.0))?;
            Ok([Staged { stage: name.to_owned(), parts }])
        };
        delayed_on_device(self, &thread, 1, halt, Some(stage))
    }
}
