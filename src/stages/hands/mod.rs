//! The other processes of a run: started, met, ended, and told of where one ended by itself.
//!
//! A hand is this program again, as `stillflow hand`. It feeds and works for the process that a person started, which
//! alone holds the lock of the run directory, writes, and decides; it opens nothing to write. So it may be killed at any
//! moment, and is, when there is nothing more for it to do.
//!
//! - *A hand never outlives its parent.* It reads its standard input to the end and then exits: the system closes that
//!   pipe, however the parent ends. It is in a process group of its own, so that Ctrl-C is for the parent alone to hear.
//! - *The parent never waits for a dead hand.* Its connection ends with it, which [`Hands::explain`] turns into how the
//!   hand ended and what it said to its standard error. A hand that loses another leaves it to the parent to say so.

mod error;
mod meet;

use std::io::{self, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dataflows::Failure;
use dataflows::graphs::cluster::{Cluster, ClusterError, Listening};
use serde::Serialize;

use super::context::Context;
use crate::error::Error;

pub use error::HandError;
pub use meet::{meet, parse};

/// How long processes may take to find one another.
const MEETING: Duration = Duration::from_secs(20);
/// How long a hand that is gone, as its connection says, may take to end.
const ENDING: Duration = Duration::from_secs(5);
/// How often is looked whether it has.
const AGAIN: Duration = Duration::from_millis(5);

/// The other processes of a run. They end with it.
#[derive(Debug, Default)]
pub struct Hands(Vec<Hand>);

#[derive(Debug)]
struct Hand {
    child: Child,
    /// Kept open: where it ends, the hand does.
    heard: ChildStdin,
    said: BufReader<ChildStdout>,
    /// What it says to people.
    errors: Option<JoinHandle<String>>,
}

impl Hands {
    /// Starts a process for each of the context's hands, and meets them; no cluster, if it has none.
    ///
    /// # Errors
    /// [`Error::Io`] if one cannot be started, [`Error::Hand`] if one ends, [`Error::Cluster`] if they do not meet.
    pub fn call<T: Serialize>(
        ctx: &Context,
        task: impl FnOnce() -> T,
    ) -> Result<(Self, Option<Cluster>), Error> {
        let mut hands = Self::default();
        if ctx.hands.is_empty() {
            return Ok((hands, None));
        }
        let task = serde_json::to_string(&task()).map_err(|source| HandError::Task { source })?;
        for device in &ctx.hands {
            hands.0.push(start(&ctx.run.path, &task, ctx.workers, device)?);
        }
        match hands.meet() {
            Ok(cluster) => Ok((hands, Some(cluster))),
            Err(source) => Err(match hands.first_ended() {
                Some(process) => hands.ended(process).into(),
                None => Error::Cluster { source },
            }),
        }
    }

    fn meet(&mut self) -> Result<Cluster, ClusterError> {
        let mut ends: Vec<_> =
            self.0.iter_mut().map(|hand| (&mut hand.said, &mut hand.heard)).collect();
        Listening::on("127.0.0.1")?.lead(&mut ends, secret(), MEETING)
    }

    /// Their process ids.
    pub fn pids(&self) -> Vec<u32> {
        self.0.iter().map(|hand| hand.child.id()).collect()
    }

    /// A failure of the graph; where it is that a process is lost, with how that one ended.
    pub fn explain(&mut self, failure: Failure) -> Failure {
        match failure.cause.downcast_ref() {
            Some(ClusterError::Lost { process, .. }) if (1..=self.0.len()).contains(process) => {
                let cause = self.ended(*process).into();
                Failure { cause, ..failure }
            }
            _ => failure,
        }
    }

    /// Ends them: there is nothing that they would leave undone.
    pub fn end(&mut self) {
        for hand in &mut self.0 {
            // That it cannot be killed, or waited for, is that it has ended.
            let _ = hand.child.kill();
            let _ = hand.child.wait();
        }
        self.0.clear();
    }

    /// The first process that has ended by itself, or does soon.
    fn first_ended(&mut self) -> Option<usize> {
        let until = Instant::now() + Duration::from_secs(1);
        loop {
            let is_over = |hand: &mut Hand| matches!(hand.child.try_wait(), Ok(Some(_)));
            let ended = self.0.iter_mut().position(is_over);
            if ended.is_some() || Instant::now() >= until {
                return ended.map(|at| at + 1);
            }
            thread::sleep(AGAIN);
        }
    }

    /// How a process ended; one that is not a hand never did.
    fn ended(&mut self, process: usize) -> HandError {
        let processes = self.0.len() + 1;
        let hand = &mut self.0[process - 1];
        let until = Instant::now() + ENDING;
        while matches!(hand.child.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(AGAIN);
        }
        let _ = hand.child.kill();
        let status = hand.child.wait().unwrap_or_default();
        let errors = hand.errors.take().and_then(|errors| errors.join().ok());
        HandError::Ended { process, processes, status, said: errors.unwrap_or_default() }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.end();
    }
}

fn start(run: &Path, task: &str, workers: usize, device: &str) -> Result<Hand, Error> {
    let program = std::env::current_exe().map_err(Error::io("stillflow", "find"))?;
    let mut command = Command::new(&program);
    command.arg("hand").arg(run).args(["--task", task]);
    command.args(["--workers", &workers.to_string(), "--device", device]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0);
    let mut child = command.spawn().map_err(Error::io(&program, "start"))?;
    let ends = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(heard), Some(said), Some(mut errors)) = ends else {
        return Err(Error::io(&program, "speak to")(io::ErrorKind::BrokenPipe.into()));
    };
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before it failed is what there is.
        let _ = errors.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    Ok(Hand { child, heard, said: BufReader::new(said), errors: Some(errors) })
}

/// What no other process of this machine knows.
fn secret() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
