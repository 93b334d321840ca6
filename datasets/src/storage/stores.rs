//! Makes the client of a store out of the environment and the settings.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientConfigKey, CredentialProvider, ObjectStore, RetryConfig};

use super::runtime::wait_for;
use super::stats::Stats;
use super::watch::Watching;
use super::{Cause, Options, Scheme, StorageError};

/// The beginnings of the names of the settings of all stores.
const FAMILIES: [&str; 3] = ["aws_", "azure_", "google_"];

/// What is set whatever the store: its own retries off, and no time limit below ours.
struct Common<'a> {
    location: &'a str,
    options: &'a Options,
    stats: &'a Arc<Stats>,
}

impl Common<'_> {
    fn limits(&self) -> [(ClientConfigKey, String); 2] {
        let milliseconds = |time: Duration| format!("{}ms", time.as_millis().max(1));
        let timeout = self.options.timeout;
        [
            (ClientConfigKey::Timeout, milliseconds(timeout + Duration::from_secs(1))),
            (ClientConfigKey::ConnectTimeout, milliseconds(timeout.min(Duration::from_secs(5)))),
        ]
    }

    fn no_retry() -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 0,
            retry_timeout: Duration::ZERO,
        }
    }

    /// The settings for the store whose settings begin with `own`.
    fn settings<K: std::str::FromStr>(&self, own: &str) -> Result<Vec<(K, String)>, StorageError> {
        let mut settings = Vec::new();
        for (key, value) in &self.options.settings {
            let lower = key.to_ascii_lowercase();
            if FAMILIES.iter().any(|family| *family != own && lower.starts_with(family)) {
                continue;
            }
            let unknown = |_| StorageError::UnknownSetting {
                location: self.location.to_owned(),
                key: key.clone(),
            };
            settings.push((lower.parse().map_err(unknown)?, value.clone()));
        }
        Ok(settings)
    }

    fn setup(&self, source: object_store::Error) -> StorageError {
        StorageError::Setup { location: self.location.to_owned(), source: Arc::new(source) }
    }

    /// Asks for credentials once, so that their lack is told as such and not as a host that does not answer.
    fn credentials<P>(&self, provider: &Arc<P>, variables: &'static str) -> Result<(), StorageError>
    where
        P: CredentialProvider + ?Sized + 'static,
    {
        let provider = Arc::clone(provider);
        let (location, limit) =
            (self.location.to_owned(), self.options.timeout.min(Duration::from_secs(10)));
        wait_for(self.location, "find the credentials of", async move {
            let found = tokio::time::timeout(limit, provider.get_credential()).await;
            let cause = match found {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => Cause::Store(error),
                Err(_) => Cause::Timeout(limit),
            };
            Err(StorageError::NoCredentials { location, variables, source: Arc::new(cause) })
        })
    }
}

/// Opens the store at `root` (`s3://bucket`), and tells which of the stores of that name it is.
pub(crate) fn open(
    scheme: Scheme,
    root: &str,
    options: &Options,
    stats: &Arc<Stats>,
) -> Result<(Arc<dyn ObjectStore>, String), StorageError> {
    let common = Common { location: root, options, stats };
    match scheme {
        Scheme::S3 => s3(&common),
        Scheme::Gs => gs(&common),
        Scheme::Az => az(&common),
        Scheme::Http => http(&common),
    }
}

type Opened = Result<(Arc<dyn ObjectStore>, String), StorageError>;

fn s3(common: &Common<'_>) -> Opened {
    let mut builder = AmazonS3Builder::from_env().with_url(common.location);
    for (key, value) in common.settings::<AmazonS3ConfigKey>("aws_")? {
        builder = builder.with_config(key, value);
    }
    for (key, value) in common.limits() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    let get = |key| builder.get_config_value(&key);
    let unsigned = get(AmazonS3ConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let endpoint = get(AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| get(AmazonS3ConfigKey::Endpoint))
        .unwrap_or_default();
    // Who names an endpoint without TLS means it.
    let builder = builder.with_allow_http(endpoint.starts_with("http://"));
    let store = builder
        .with_retry(Common::no_retry())
        .with_http_connector(Watching(Arc::clone(common.stats)))
        .build()
        .map_err(|error| common.setup(error))?;
    if !unsigned {
        let variables = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket";
        common.credentials(store.credentials(), variables)?;
    }
    Ok((Arc::new(store), endpoint))
}

fn gs(common: &Common<'_>) -> Opened {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_url(common.location);
    for (key, value) in common.settings::<GoogleConfigKey>("google_")? {
        builder = builder.with_config(key, value);
    }
    for (key, value) in common.limits() {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    let unsigned = builder
        .get_config_value(&GoogleConfigKey::SkipSignature)
        .is_some_and(|value| value == "true");
    let store = builder
        .with_retry(Common::no_retry())
        .with_http_connector(Watching(Arc::clone(common.stats)))
        .build()
        .map_err(|error| common.setup(error))?;
    if !unsigned {
        let variables = "GOOGLE_SERVICE_ACCOUNT to the path of a key, or GOOGLE_SKIP_SIGNATURE=true for a public bucket";
        common.credentials(store.credentials(), variables)?;
    }
    Ok((Arc::new(store), String::new()))
}

fn az(common: &Common<'_>) -> Opened {
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(common.location);
    for (key, value) in common.settings::<AzureConfigKey>("azure_")? {
        builder = builder.with_config(key, value);
    }
    for (key, value) in common.limits() {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    let get = |key| builder.get_config_value(&key);
    let unsigned = get(AzureConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let account = get(AzureConfigKey::AccountName).unwrap_or_default();
    let endpoint = get(AzureConfigKey::Endpoint).unwrap_or_default();
    let named = !account.is_empty() || common.location.contains('@');
    let store = builder
        .with_retry(Common::no_retry())
        .with_http_connector(Watching(Arc::clone(common.stats)))
        .build()
        .map_err(|source| match named {
            true => common.setup(source),
            false => StorageError::NoCredentials {
                location: common.location.to_owned(),
                variables: "AZURE_STORAGE_ACCOUNT_NAME",
                source: Arc::new(Cause::Store(source)),
            },
        })?;
    if !unsigned {
        let variables =
            "AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true for a public container";
        common.credentials(store.credentials(), variables)?;
    }
    Ok((Arc::new(store), format!("{account}@{endpoint}")))
}

fn http(common: &Common<'_>) -> Opened {
    let plain = common.location.starts_with("http:").to_string();
    let mut builder =
        HttpBuilder::new().with_url(common.location).with_config(ClientConfigKey::AllowHttp, plain);
    for (key, value) in common.settings::<ClientConfigKey>("")? {
        builder = builder.with_config(key, value);
    }
    for (key, value) in common.limits() {
        builder = builder.with_config(key, value);
    }
    let store = builder
        .with_retry(Common::no_retry())
        .with_http_connector(Watching(Arc::clone(common.stats)))
        .build()
        .map_err(|error| common.setup(error))?;
    Ok((Arc::new(store), String::new()))
}
