//! When a request is made again.
//!
//! `object_store` can retry by itself; it is told not to, since it counts neither a body that stops short without an
//! error nor a server that trickles, and knows no deadline over all parts of a read. What is made again: answers
//! 5xx, 408 and 429, no answer at all, an answer that does not end in time, a body of the wrong length. What is not: any
//! other answer, and another version of the file.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::Error;

use super::stats::Stats;
use super::watch::{Seen, watched};
use super::{Cause, Options, StorageError};

/// No wait between two attempts is longer.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The attempts at one thing.
pub(crate) struct Attempts<'a> {
    options: &'a Options,
    stats: &'a Stats,
    location: &'a str,
    operation: &'static str,
    started: Instant,
    made: u32,
    seen: Seen,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(
        options: &'a Options,
        stats: &'a Stats,
        location: &'a str,
        operation: &'static str,
    ) -> Self {
        Self {
            options,
            stats,
            location,
            operation,
            started: Instant::now(),
            made: 0,
            seen: Seen::default(),
        }
    }

    /// Makes one attempt, which is given up when its time is over.
    pub(crate) async fn attempt<T>(
        &mut self,
        future: impl Future<Output = Result<T, Cause>>,
    ) -> Result<T, Cause> {
        let left = self.options.deadline.saturating_sub(self.started.elapsed());
        let limit = self.options.timeout.min(left);
        self.made += 1;
        let (outcome, seen) = watched(tokio::time::timeout(limit, future)).await;
        self.seen = seen;
        let outcome = outcome.unwrap_or(Err(Cause::Timeout(limit)));
        if outcome.is_ok() {
            // A listing goes on: what succeeded is not held against what follows.
            (self.made, self.started) = (0, Instant::now());
        }
        outcome
    }

    /// Waits, if a failure is worth another attempt.
    ///
    /// # Errors
    /// What to tell the caller, if it is not.
    pub(crate) async fn after(&mut self, cause: Cause) -> Result<(), StorageError> {
        if let Some(error) = self.is_final(&cause) {
            return Err(error(Arc::new(cause)));
        }
        let delay = self.seen.retry_after.unwrap_or_default().max(self.delay());
        let waited = self.started.elapsed();
        if self.made >= self.options.attempts || waited + delay >= self.options.deadline {
            let (location, operation) = (self.location.to_owned(), self.operation);
            let (attempts, source) = (self.made, Arc::new(cause));
            return Err(StorageError::Exhausted { location, operation, attempts, waited, source });
        }
        Stats::add(&self.stats.retries, 1);
        tokio::time::sleep(delay).await;
        Ok(())
    }

    fn delay(&self) -> Duration {
        let full = self
            .options
            .first_delay
            .saturating_mul(1 << (self.made.clamp(1, 20) - 1))
            .min(LONGEST_DELAY);
        // Many readers that failed together must not come back together.
        let chance = RandomState::new().build_hasher().finish() >> 40;
        full.mul_f64(1.0 - 0.5 * chance as f64 / (1u64 << 24) as f64)
    }

    fn is_final(
        &self,
        cause: &Cause,
    ) -> Option<Box<dyn FnOnce(Arc<Cause>) -> StorageError + Send>> {
        let (location, operation) = (self.location.to_owned(), self.operation);
        let store = match cause {
            Cause::Timeout(_) | Cause::Length { .. } => return None,
            Cause::Version { expected, found } => {
                let (expected, found) = (expected.clone(), found.clone());
                return Some(Box::new(move |_| StorageError::Changed {
                    location,
                    expected,
                    found,
                }));
            }
            Cause::Store(error) => error,
        };
        let status = self.seen.status;
        Some(match (store, status) {
            (Error::NotSupported { .. }, Some(200)) => {
                Box::new(move |_| StorageError::NoRanges { location })
            }
            (_, Some(412)) | (Error::Precondition { .. }, _) => {
                Box::new(move |_| StorageError::Changed {
                    location,
                    expected: "the version that was opened".to_owned(),
                    found: "another".to_owned(),
                })
            }
            (_, Some(404 | 410)) | (Error::NotFound { .. }, _) => {
                Box::new(move |_| StorageError::Missing { location, operation })
            }
            (_, Some(401 | 403)) => {
                Box::new(move |source| StorageError::Denied { location, operation, source })
            }
            (_, Some(408 | 429 | 500..)) => return None,
            (_, Some(status @ 300..)) => Box::new(move |source| StorageError::Refused {
                location,
                operation,
                status,
                source,
            }),
            (
                Error::NotSupported { .. }
                | Error::NotImplemented { .. }
                | Error::InvalidPath { .. }
                | Error::UnknownConfigurationKey { .. },
                _,
            ) => Box::new(move |source| StorageError::Refused {
                location,
                operation,
                status: 0,
                source,
            }),
            // No answer, or one whose body broke off.
            _ => return None,
        })
    }
}
