//! Trials by fire: where a test kills the process or takes the disk away.
//!
//! Two environment variables, read once a process:
//!
//! - `STILLFLOW_ABORT=<point>` or `<point>:<n>` aborts the process when it reaches the named point ([`POINTS`])
//!   for the n-th time (from 1).
//! - `STILLFLOW_FAIL_WRITE=<k>` makes the k-th durable file operation (from 1, counted over the process:
//!   create, write, fsync, rename, remove, fsync of a directory) and every later one fail with
//!   [`io::ErrorKind::StorageFull`].
//!
//! Both are compiled in always, so that what is tested is what runs; unset, a point costs one load.
//! In a test, [`Failing`] does the second for its own thread alone, so that tests may run side by side.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every named point.
///
/// `half-written`: some of a file's bytes are in its temporary file. `written`: all, and synced. `renamed`: the
/// file has its name, the directory is not yet synced. `staged`: a checkpoint's parts are there, its manifest is
/// not. `committed`: the manifest is durable. `collected`: an old checkpoint has lost its manifest, not yet its parts.
pub const POINTS: &[&str] =
    &["half-written", "written", "renamed", "staged", "committed", "collected"];

struct Plan {
    abort: Option<(String, u64)>,
    fail_from: Option<u64>,
    reached: AtomicU64,
    operations: AtomicU64,
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan {
    abort: std::env::var("STILLFLOW_ABORT").ok().map(|text| parse_abort(&text)),
    fail_from: std::env::var("STILLFLOW_FAIL_WRITE").ok().and_then(|text| text.parse().ok()),
    reached: AtomicU64::new(0),
    operations: AtomicU64::new(0),
});

fn parse_abort(text: &str) -> (String, u64) {
    match text.rsplit_once(':').map(|(point, n)| (point, n.parse())) {
        Some((point, Ok(n))) => (point.to_owned(), n),
        _ => (text.to_owned(), 1),
    }
}

/// Marks that the process is at a named point; aborts it if the environment says so.
pub fn reached(point: &'static str) {
    debug_assert!(POINTS.contains(&point), "{point} is not listed in POINTS");
    if let Some((wanted, n)) = &PLAN.abort
        && wanted == point
        && PLAN.reached.fetch_add(1, Ordering::Relaxed) + 1 == *n
    {
        std::process::abort();
    }
}

/// Counts a durable file operation, which the caller is about to do.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`] from the operation on that the environment, or [`Failing`], names.
pub fn file_operation() -> io::Result<()> {
    let mut full = false;
    if let Some(from) = PLAN.fail_from {
        full = PLAN.operations.fetch_add(1, Ordering::Relaxed) + 1 >= from;
    }
    THREAD.with(|thread| {
        if let Some((from, done)) = thread.get() {
            thread.set(Some((from, done + 1)));
            full |= done + 1 >= from;
        }
    });
    if full { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
}

thread_local! {
    /// The operation from which on this thread's fail, and how many were tried.
    static THREAD: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// While it lives, durable file operations of this thread fail from a given one on.
pub struct Failing {
    not_send: PhantomData<*const ()>,
}

impl Failing {
    /// Makes the `from`-th operation (from 1) of this thread and every later one fail.
    pub fn on_this_thread(from: u64) -> Self {
        THREAD.set(Some((from, 0)));
        Self { not_send: PhantomData }
    }

    /// How many operations were tried since.
    pub fn operations(&self) -> u64 {
        THREAD.get().map_or(0, |(_, done)| done)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        THREAD.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_fail_from_the_named_one_on_and_only_while_the_guard_lives() {
        let failing = Failing::on_this_thread(3);
        let results: Vec<bool> = (0..5).map(|_| file_operation().is_ok()).collect();
        assert_eq!(results, [true, true, false, false, false]);
        assert_eq!(failing.operations(), 5);
        drop(failing);
        assert!(file_operation().is_ok());
    }

    #[test]
    fn an_abort_names_a_point_and_optionally_its_turn() {
        assert_eq!(parse_abort("renamed"), ("renamed".to_owned(), 1));
        assert_eq!(parse_abort("renamed:7"), ("renamed".to_owned(), 7));
    }
}
