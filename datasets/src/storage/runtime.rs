//! The one runtime on whose threads all requests run.
//!
//! Its threads do nothing but requests: no decoding, no file. So a slow consumer never stalls a connection, and
//! whoever waits for a request waits on a channel, outside of the runtime.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;

use tokio::runtime::{Builder, Runtime};

use super::StorageError;

/// The runtime, built when it is first needed.
///
/// # Errors
/// [`StorageError::Io`] if its threads cannot be started.
pub(crate) fn runtime() -> Result<&'static Runtime, StorageError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let built = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("storage")
        .enable_all()
        .build()
        .map_err(StorageError::io("storage".as_ref(), "start the threads of"))?;
    // Whoever comes second drops a runtime without tasks.
    let mut built = Some(built);
    let runtime =
        RUNTIME.get_or_init(|| built.take().unwrap_or_else(|| unreachable!("called once")));
    if let Some(unused) = built {
        unused.shutdown_background();
    }
    Ok(runtime)
}

/// Runs a future on the runtime and waits for what it gives.
pub(crate) fn wait_for<T, F>(
    location: &str,
    operation: &'static str,
    future: F,
) -> Result<T, StorageError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StorageError>> + Send + 'static,
{
    let (sender, receiver) = sync_channel(1);
    runtime()?.spawn(async move {
        // No one listens any more if the caller is gone.
        let _ = sender.send(future.await);
    });
    let stopped = |_| StorageError::Stopped { location: location.to_owned(), operation };
    receiver.recv().map_err(stopped)?
}
