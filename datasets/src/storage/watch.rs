//! Sees each response before the store does.
//!
//! `object_store` wraps the status of a failed request in an error that does not give it away, and drops
//! `Retry-After`. Both decide whether and when to try again, so the client is wrapped, and a task's last response
//! is noted beside the task.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::stats::Stats;

/// What the last response of an attempt said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// The status; `None` if there was no response.
    pub(crate) status: Option<u16>,
    /// For how long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

tokio::task_local! {
    static SEEN: Cell<Seen>;
}

/// Runs an attempt and tells what its last response said.
pub(crate) async fn watched<F: Future>(attempt: F) -> (F::Output, Seen) {
    SEEN.scope(Cell::default(), async {
        let output = attempt.await;
        (output, SEEN.with(Cell::get))
    })
    .await
}

/// Makes clients that note their responses and count their requests.
#[derive(Debug)]
pub(crate) struct Watching(pub(crate) Arc<Stats>);

impl HttpConnector for Watching {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Watched { client, stats: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct Watched {
    client: HttpClient,
    stats: Arc<Stats>,
}

impl HttpService for Watched {
    // What `async_trait` would write.
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            Stats::add(&self.stats.requests, 1);
            let note = |seen| {
                // Requests for credentials may run in a task of their own: there is nothing to note then.
                let _ = SEEN.try_with(|cell| cell.set(seen));
            };
            note(Seen::default());
            let response = self.client.execute(request).await?;
            let after = response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse().ok());
            note(Seen {
                status: Some(response.status().as_u16()),
                retry_after: after.map(Duration::from_secs),
            });
            Ok(response)
        })
    }
}
