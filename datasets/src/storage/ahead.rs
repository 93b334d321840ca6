//! Ranges fetched before they are read.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use super::StorageError;

/// One range on its way.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) range: Range<u64>,
    /// How many of its bytes were read; with the last one it goes.
    pub(crate) taken: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) task: Mutex<Option<AbortHandle>>,
}

#[derive(Debug)]
enum State {
    /// Waits for its share of memory.
    Waiting,
    OnItsWay,
    /// A reader did not wait for that share.
    Passed,
    There(Bytes, #[expect(dead_code, reason = "held until the bytes go")] OwnedSemaphorePermit),
    Failed(StorageError),
}

impl Ahead {
    pub(crate) fn new(range: Range<u64>) -> Self {
        Self {
            range,
            taken: AtomicU64::new(0),
            state: Mutex::new(State::Waiting),
            changed: Condvar::new(),
            task: Mutex::new(None),
        }
    }

    /// The task has its share of memory: whether it is to fetch the range.
    pub(crate) fn start(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = matches!(*state, State::Waiting);
        if waiting {
            *state = State::OnItsWay;
        }
        waiting
    }

    /// A reader is here: whether to [`wait`](Self::wait). If not, the entry is good for nothing, and the reader fetches for itself.
    pub(crate) fn join(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Waiting) {
            // Readers cannot wait for memory that only readers free.
            *state = State::Passed;
        }
        matches!(*state, State::OnItsWay | State::There(..))
    }

    pub(crate) fn holds(&self, range: &Range<u64>) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    /// A range within this one, of all its bytes.
    pub(crate) fn part(&self, bytes: &Bytes, range: &Range<u64>) -> Bytes {
        let at = |offset| usize::try_from(offset - self.range.start).unwrap_or(usize::MAX);
        bytes.slice(at(range.start)..at(range.end))
    }

    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.range.start < range.end && range.start < self.range.end
    }

    pub(crate) fn is_there(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::There(..))
    }

    pub(crate) fn fill(&self, outcome: Result<(Bytes, OwnedSemaphorePermit), StorageError>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = match outcome {
            Ok((bytes, share)) => State::There(bytes, share),
            Err(error) => State::Failed(error),
        };
        self.changed.notify_all();
    }

    /// Waits for the whole range.
    pub(crate) fn wait(&self) -> Result<Bytes, StorageError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                State::Waiting | State::OnItsWay | State::Passed => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
                State::There(bytes, _) => return Ok(bytes.clone()),
                State::Failed(error) => return Err(error.clone()),
            }
        }
    }
}

/// Fails the range if its task ends before it filled it.
pub(crate) struct Promise<'a> {
    pub(crate) ahead: &'a Ahead,
    pub(crate) location: &'a str,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        let on_its_way = {
            let state = self.ahead.state.lock().unwrap_or_else(PoisonError::into_inner);
            matches!(*state, State::OnItsWay)
        };
        if on_its_way {
            let location = self.location.to_owned();
            self.ahead.fill(Err(StorageError::Stopped { location, operation: "read" }));
        }
    }
}
