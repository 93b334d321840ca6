//! Search: candidates are tried, the better part of each field goes on, and the last field has the choice.
//!
//! ```text
//!  the first field --> concat ==by candidate==> attempt ==> halve --> standings
//!                        ^                                    |
//!                        '-------- who stays, a rung later ---'
//! ```
//!
//! `=` crosses workers. The timestamp is the rung. A candidate is a message, its training the work of an operator:
//! `attempt` has one thread a worker, so as many candidates are trained at once as there are workers. `halve` is on
//! worker 0.
//!
//! # Frontiers
//!
//! `attempt` has passed *r*: every candidate of rung *r* has its verdict, and who stays is known. Nothing is kept
//! but verdicts, and a verdict is a function of the candidate and the rung: a search that is begun again asks for
//! them again, and a role that has them on disk answers at once.

use std::sync::{Arc, Mutex, PoisonError};

use timely::dataflow::Scope;
use timely::dataflow::operators::{Concat, ConnectLoop, Exchange, Feedback, ToStream};

use super::run::{Threads, execute};
use super::{Job, RunError};
use crate::failure::{Failure, Halt, once};
use crate::operators::{Halve, OnDevice, Verdict};
use crate::time::Step;

/// Tries a candidate.
pub trait Attempt: Send + 'static {
    /// The loss of a candidate at the end of a rung; none if the run is asked to stop before it is known.
    ///
    /// # Errors
    /// A failure ends the run.
    fn attempt(&mut self, rung: Step, candidate: u64) -> Result<Option<f64>, Failure>;
}

/// The fields of the rungs that were finished, each in its order, the best first.
pub type Standings = Vec<Vec<Verdict>>;

/// Runs a search of `fields.len()` rungs: candidates `0 .. fields[0]` are tried at rung 0, the best `fields[1]` of
/// them at rung 1, and so on. `attempt` makes what tries them, by worker.
///
/// A search that was asked to stop has fewer standings than fields.
///
/// # Errors
/// Where the workers cannot be started, or one panics. Failures of the role go to `halt`.
///
/// # Examples
/// ```
/// use dataflows::graphs::{Attempt, search};
/// use dataflows::{Failure, Halt, Step};
///
/// struct Distance;
/// impl Attempt for Distance {
///     fn attempt(&mut self, _: Step, candidate: u64) -> Result<Option<f64>, Failure> {
///         Ok(Some(candidate.abs_diff(5) as f64))
///     }
/// }
///
/// let halt: Halt = std::sync::Arc::new(|_: Failure| std::process::abort());
/// let standings = search(2, &[8, 4, 2], |_| Distance, halt)?;
/// assert_eq!(standings[2].iter().map(|v| v.candidate).collect::<Vec<_>>(), [5, 4]);
/// # Ok::<(), dataflows::RunError>(())
/// ```
pub fn search<A, Role>(
    workers: usize,
    fields: &[usize],
    attempt: A,
    halt: Halt,
) -> Result<Standings, RunError>
where
    A: Fn(usize) -> Role + Send + Sync + 'static,
    Role: Attempt,
{
    let standings = Arc::new(Mutex::new(Standings::new()));
    let (kept, fields, halt) = (Arc::clone(&standings), fields.to_vec(), once(halt));
    let first = fields.first().copied().unwrap_or(0);
    let workers = workers.clamp(1, first.max(1));
    execute(Threads { workers, serialize: false, cluster: None }, move |worker| {
        let (kept, fields) = (Arc::clone(&kept), fields.clone());
        worker.dataflow(|scope: Scope<'_, u64>| {
            let worker = scope.index();
            let (better, again) = scope.feedback(1);
            // Whoever is asked to stop gives no verdict: its field is never whole, and nobody of it goes on.
            let keep = move |Step(rung): Step, field: &[Verdict]| {
                let rung = usize::try_from(rung).unwrap_or(usize::MAX);
                if fields.get(rung) != Some(&field.len()) {
                    return 0;
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(field.to_vec());
                fields.get(rung + 1).copied().unwrap_or(0)
            };
            let field = if worker == 0 { 0..first as u64 } else { 0..0 };
            field
                .map(|candidate| (Step(0), candidate))
                .to_stream(scope)
                .container::<Vec<_>>()
                .concat(again)
                .exchange(|(_, candidate)| *candidate)
                .on_device("attempt", &halt, Some(attempting(attempt(worker))))
                .halve(keep)
                .connect_loop(better);
        });
        while worker.step_or_park(None) {}
    })?;
    let standings = std::mem::take(&mut *standings.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(standings)
}

/// The work of a worker's thread: a candidate at a rung.
fn attempting<A: Attempt>(mut attempt: A) -> impl Job<(Step, u64), Option<Verdict>> {
    move |(rung, candidate), _waited| {
        let loss = attempt.attempt(rung, candidate);
        let loss = loss.map_err(|failure| failure.in_step("attempt", rung.0))?;
        Ok(loss.map(|loss| Verdict { candidate, loss }))
    }
}
