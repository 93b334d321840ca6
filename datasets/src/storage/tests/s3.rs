//! A server of S3 over a folder.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::runtime::{self, Runtime};

/// Runs until it is dropped; a folder of its root is a bucket.
pub(super) struct S3 {
    runtime: Option<Runtime>,
    pub(super) endpoint: String,
}

/// The keys that it knows, as the environment's variables.
pub(super) const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "key"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_REGION", "us-east-1"),
];

impl S3 {
    pub(super) fn over(root: &Path) -> Self {
        let mut service = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, receiver) = sync_channel(1);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    // A client that goes away is no failure.
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        let endpoint = format!("http://{}", receiver.recv().unwrap());
        Self { runtime: Some(runtime), endpoint }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
