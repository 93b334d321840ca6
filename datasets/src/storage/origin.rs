//! A store as its files come out of it: listed, or a range at a time, by as many requests as it takes.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::try_join_all;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;

use super::retry::Attempts;
use super::stats::Stats;
use super::{Cause, Options, StorageError, Version};

/// A store, and how it is asked.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) options: Options,
    pub(crate) stats: Arc<Stats>,
    /// One permit a request.
    pub(crate) requests: Semaphore,
}

/// A file of a store, as it was when it was opened.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) path: Path,
    pub(crate) url: String,
    pub(crate) version: Version,
}

impl Origin {
    /// All that lies below a prefix.
    pub(crate) async fn list(
        &self,
        prefix: &Path,
        url: &str,
    ) -> Result<Vec<ObjectMeta>, StorageError> {
        let mut attempts = Attempts::new(&self.options, &self.stats, url, "list");
        let mut found: Vec<ObjectMeta> = Vec::new();
        loop {
            // What came before a failure is not asked for again.
            let mut stream = match found.last() {
                None => self.store.list(Some(prefix)),
                Some(last) => self.store.list_with_offset(Some(prefix), &last.location),
            };
            loop {
                match attempts.attempt(async { Ok(stream.next().await.transpose()?) }).await {
                    Ok(Some(object)) => found.push(object),
                    Ok(None) => return Ok(found),
                    Err(cause) => break attempts.after(cause).await?,
                }
            }
        }
    }

    /// The length and the version of a file.
    pub(crate) async fn head(&self, path: &Path, url: &str) -> Result<Version, StorageError> {
        let _request = self.requests.acquire().await;
        let mut attempts = Attempts::new(&self.options, &self.stats, url, "open");
        loop {
            match attempts.attempt(async { Ok(self.store.head(path).await?) }).await {
                Ok(found) => return Ok(Version::of(&found)),
                Err(cause) => attempts.after(cause).await?,
            }
        }
    }

    /// The whole of a small file, whose length need not be known.
    pub(crate) async fn whole(
        &self,
        path: &Path,
        url: &str,
        limit: u64,
    ) -> Result<Bytes, StorageError> {
        let _request = self.requests.acquire().await;
        let mut attempts = Attempts::new(&self.options, &self.stats, url, "read");
        loop {
            let attempt = async {
                let found = self.store.get(path).await?;
                let bytes = found.meta.size;
                if bytes > limit {
                    return Ok(Err(bytes));
                }
                let _flying = self.stats.flying(bytes);
                let mut body = BytesMut::new();
                self.pour(found, bytes, &mut body).await?;
                Ok(Ok(body.freeze()))
            };
            match attempts.attempt(attempt).await {
                Ok(Ok(body)) => return Ok(body),
                Ok(Err(found)) => {
                    return Err(StorageError::TooLarge { location: url.to_owned(), limit, found });
                }
                Err(cause) => attempts.after(cause).await?,
            }
        }
    }

    /// A range of a file.
    pub(crate) async fn range(
        &self,
        object: &Object,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        let _flying = self.stats.flying(range.end - range.start);
        let too_large = |_| StorageError::TooLarge {
            location: object.url.clone(),
            limit: usize::MAX as u64,
            found: range.end - range.start,
        };
        let bytes = usize::try_from(range.end - range.start).map_err(too_large)?;
        let part = usize::try_from(self.options.part_bytes.max(1)).unwrap_or(usize::MAX);
        // Every part is written to its place in one buffer: none is copied when they are put together.
        let mut whole = BytesMut::with_capacity(bytes);
        let mut parts = Vec::new();
        let mut at = range.start;
        let mut left = bytes;
        while left > 0 {
            let length = left.min(part);
            let rest = whole.split_off(length);
            parts.push(self.part(object, at, length, std::mem::replace(&mut whole, rest)));
            at += length as u64;
            left -= length;
        }
        let mut whole = BytesMut::new();
        for part in try_join_all(parts).await? {
            whole.unsplit(part);
        }
        Ok(whole.freeze())
    }

    async fn part(
        &self,
        object: &Object,
        start: u64,
        length: usize,
        mut buffer: BytesMut,
    ) -> Result<BytesMut, StorageError> {
        let _request = self.requests.acquire().await;
        let mut attempts = Attempts::new(&self.options, &self.stats, &object.url, "read");
        loop {
            match attempts.attempt(self.fill(object, start, length, &mut buffer)).await {
                Ok(()) => return Ok(buffer),
                Err(cause) => attempts.after(cause).await?,
            }
            if !object.version.is_known() {
                // Two halves of two versions must not be put together.
                buffer.clear();
            }
        }
    }

    /// Asks for what is still missing of a part.
    async fn fill(
        &self,
        object: &Object,
        start: u64,
        length: usize,
        buffer: &mut BytesMut,
    ) -> Result<(), Cause> {
        if buffer.len() == length {
            return Ok(());
        }
        let options = GetOptions {
            range: Some((start + buffer.len() as u64..start + length as u64).into()),
            if_match: object.version.strong_etag(),
            ..GetOptions::default()
        };
        let found = self.store.get_opts(&object.path, options).await?;
        let version = Version::of(&found.meta);
        if !object.version.is_same_as(&version) {
            return Err(Cause::Version {
                expected: object.version.to_string(),
                found: version.to_string(),
            });
        }
        self.pour(found, length as u64, buffer).await
    }

    /// Appends a body, up to `length` bytes in all.
    async fn pour(
        &self,
        found: GetResult,
        length: u64,
        buffer: &mut BytesMut,
    ) -> Result<(), Cause> {
        let mut body = found.into_stream();
        while let Some(bytes) = body.next().await {
            let bytes = bytes?;
            Stats::add(&self.stats.bytes_fetched, bytes.len() as u64);
            let would_be = (buffer.len() + bytes.len()) as u64;
            if would_be > length {
                buffer.clear();
                return Err(Cause::Length { expected: length, found: would_be });
            }
            buffer.extend_from_slice(&bytes);
        }
        let found = buffer.len() as u64;
        if found < length { Err(Cause::Length { expected: length, found }) } else { Ok(()) }
    }
}
