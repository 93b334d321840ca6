//! Threads that decode windows before they are asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::stream::{Ask, Stream};

/// The threads. They end when this is dropped, after the windows that they are at.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    streams: Arc<[Stream]>,
    /// The windows to come, and whether to stop.
    jobs: Mutex<(VecDeque<(u16, Ask)>, bool)>,
    changed: Condvar,
}

impl Ahead {
    pub(super) fn start(streams: &Arc<[Stream]>, threads: usize) -> std::io::Result<Self> {
        let (streams, jobs, changed) = (Arc::clone(streams), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { streams, jobs, changed });
        // From here on a drop ends those that were started.
        let mut ahead = Self { shared, threads: Vec::new() };
        for i in 0..threads {
            let shared = Arc::clone(&ahead.shared);
            let run = move || shared.run();
            ahead.threads.push(Builder::new().name(format!("read-ahead-{i}")).spawn(run)?);
        }
        Ok(ahead)
    }

    /// Asks for a window. If there is more to do than two windows a source, nobody does it ahead.
    pub(super) fn ask(&self, source: u16, window: Ask) {
        let mut jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.threads.is_empty() && jobs.0.len() < 2 * self.shared.streams.len() {
            jobs.0.push_back((source, window));
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if jobs.1 {
                return;
            }
            if let Some((source, window)) = jobs.0.pop_front() {
                drop(jobs);
                self.streams[usize::from(source)].prepare(window);
                jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            } else {
                jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // It decodes inside `catch_unwind`, so there is nothing to hear from it.
            let _ = thread.join();
        }
    }
}
