//! A thread that does an operator's blocking work.
//!
//! A worker thread is shared by every operator on it, and progress stands still everywhere while one of
//! them blocks. A stage with long work hands it to a `Device`, keeps the capability for the result, and is
//! activated when the result is there.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use timely::scheduling::SyncActivator;

use crate::failure::{Failure, Halt};

/// A dedicated thread, with jobs answered in the order they were submitted.
///
/// A job that fails is reported to the run's [`Halt`], and no job is answered after it.
pub struct Device<J, R> {
    jobs: Option<Sender<J>>,
    results: Receiver<R>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static, R: Send + 'static> Device<J, R> {
    /// Spawns the thread. `work` runs on it, and is told how long the thread has waited for the job.
    pub fn spawn<W>(name: &str, activator: SyncActivator, halt: Halt, mut work: W) -> Self
    where
        W: FnMut(J, Duration) -> Result<R, Failure> + Send + 'static,
    {
        let (jobs, todo) = channel::<J>();
        let (done, results) = channel();
        let fatal = Halt::clone(&halt);
        let serve = move || {
            // Locals drop in reverse: hang up first, and then wake the operator to see it. The other way
            // round, or without waking it, a panic in `work` would leave the worker parked.
            let wake = WakeOnDrop(activator);
            let done = done;
            let mut idle = Instant::now();
            while let Ok(job) = todo.recv() {
                match work(job, idle.elapsed()) {
                    Ok(result) => {
                        if done.send(result).is_err() {
                            break; // The operator is gone.
                        }
                        wake.now();
                    }
                    Err(failure) => {
                        fatal(failure);
                        // Still here: wedge. Hanging up would look like a panic, answering like success.
                        while todo.recv().is_ok() {}
                        break;
                    }
                }
                idle = Instant::now();
            }
        };
        let thread = match std::thread::Builder::new().name(name.to_owned()).spawn(serve) {
            Ok(thread) => Some(thread),
            Err(error) => {
                halt(Failure { stage: name.to_owned(), ..Failure::of(error) });
                None
            }
        };
        Device { jobs: Some(jobs), results, thread }
    }

    /// Queues a job.
    pub fn submit(&mut self, job: J) {
        if let Some(jobs) = &self.jobs {
            // A failed send means that the thread died; `poll` will see it and pass its panic on.
            let _ = jobs.send(job);
        }
    }

    /// The next finished result, if one is ready. A panic of the thread becomes one of the caller.
    pub fn poll(&mut self) -> Option<R> {
        match self.results.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                // The thread serves while we hold `jobs`, so it has panicked, or there never was one.
                if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                    std::panic::resume_unwind(panic);
                }
                None
            }
        }
    }
}

impl<J, R> Drop for Device<J, R> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            let _ = thread.join();
        }
    }
}

struct WakeOnDrop(SyncActivator);

impl WakeOnDrop {
    fn now(&self) {
        // An error means that the worker is gone, and with it all interest in the result.
        let _ = self.0.activate();
    }
}

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.now();
    }
}
