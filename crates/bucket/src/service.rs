//! OpenDAL operators for the kinds of stores.

use dumprestore_driver::{BuildContext, Error, NodePath, Result, Revealed, Secret};
use opendal::layers::RetryLayer;
use opendal::services::{Azblob, Gcs, S3};
use opendal::{Builder, HttpTransporter, OperationContext, Operator};
use reqsign_core::ProvideCredentialChain;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::credentials::{AwsCredentials, Keys};
use crate::endpoint::{Endpoint, checked_origin};
use crate::local::Folder;
use crate::s3::Calls;
use crate::transport::{Transport, Unanswered};
use crate::veil::Veil;
use crate::{BucketOptions, BucketUrl, Scheme, identity, pause, tls};

const PLACES: usize = 16;
const TRIES: usize = 8;
const PATIENCE_SECONDS: u64 = 60;

/// One store, wherever in it: what its operators are made of.
pub(crate) struct Store {
    pub(crate) scheme: Scheme,
    pub(crate) name: String,
    /// As [`identity::server`] has it.
    pub(crate) server: Option<String>,
    pub(crate) options: BucketOptions,
    pub(crate) veil: Veil,
    pub(crate) unanswered: Unanswered,
    pub(crate) kind: Kind,
}

/// The ways to the same objects.
pub(crate) struct Operators {
    /// What may pass is tried again.
    pub(crate) patient: Operator,
    /// Each request is made once.
    pub(crate) once: Operator,
}

impl From<Operator> for Operators {
    fn from(operator: Operator) -> Self {
        Self { patient: operator.clone(), once: operator }
    }
}

pub(crate) enum Kind {
    S3 {
        credentials: AwsCredentials,
        calls: Calls,
    },
    Gcs {
        endpoint: Option<String>,
        file: Option<PathBuf>,
        http: HttpTransporter,
    },
    Azblob {
        endpoint: String,
        account: Option<String>,
        key: Option<Revealed>,
        sas: Option<Revealed>,
        http: HttpTransporter,
    },
    Fs(Folder),
}

impl Store {
    /// Checks all that can be checked offline, and reads secrets. Relative paths start at `base`.
    pub(crate) fn new(url: &BucketUrl, options: &BucketOptions, base: &Path) -> Result<Self> {
        let options = options.with_parameters(url)?;
        check(&options)?;
        let cx = BuildContext::new(NodePath::new("bucket")?, base);
        let secrets = Secrets::reveal(&options, &cx)?;
        let veil = Veil::new(secrets.all());
        let unanswered = Unanswered::default();
        let kind = match url.scheme() {
            Scheme::S3 => s3(url, &options, secrets, http(&options, base, Scheme::S3, &unanswered)?)?,
            Scheme::Gcs => gcs(&options, base, http(&options, base, Scheme::Gcs, &unanswered)?)?,
            Scheme::Azblob => azblob(&options, secrets, http(&options, base, Scheme::Azblob, &unanswered)?)?,
            Scheme::Fs => Kind::Fs(Folder::new(url.prefix())?),
        };
        let server = identity::server(url, &options)?;
        Ok(Self {
            scheme: url.scheme(),
            name: url.name().to_owned(),
            server,
            options,
            veil,
            unanswered,
            kind,
        })
    }

    /// Operators whose root is `prefix`.
    pub(crate) fn operators(&self, prefix: &str) -> Result<Operators> {
        match &self.kind {
            Kind::S3 { credentials, calls } => {
                self.remote(self.s3_builder(&calls.endpoint, credentials, prefix), &calls.http)
            }
            Kind::Gcs { endpoint, file, http } => {
                self.remote(self.gcs_builder(endpoint.as_deref(), file.as_deref(), prefix), http)
            }
            Kind::Azblob { endpoint, account, key, sas, http } => {
                let mut builder = Azblob::default().root(prefix).container(&self.name).endpoint(endpoint);
                if let Some(account) = account {
                    builder = builder.account_name(account);
                }
                if let Some(key) = key {
                    builder = builder.account_key(key.expose());
                }
                if let Some(sas) = sas {
                    builder = builder.sas_token(sas.expose());
                }
                if self.options.anonymous == Some(true) {
                    builder = builder.skip_signature();
                }
                self.remote(builder, http)
            }
            Kind::Fs(folder) => folder.operator(prefix).map(Operators::from),
        }
    }

    fn s3_builder(&self, endpoint: &Endpoint, credentials: &AwsCredentials, prefix: &str) -> impl Builder {
        let mut builder = S3::default()
            .root(prefix)
            .bucket(&endpoint.bucket)
            .endpoint(&endpoint.origin)
            .region(&endpoint.region)
            .disable_config_load()
            .credential_provider_chain(ProvideCredentialChain::new().push(credentials.clone()));
        if !endpoint.path_style {
            builder = builder.enable_virtual_host_style();
        }
        if self.options.anonymous == Some(true) {
            builder = builder.skip_signature();
        }
        if let Some(class) = &self.options.storage_class {
            builder = builder.default_storage_class(class);
        }
        if let Some(kind) = &self.options.server_side_encryption {
            builder = builder.server_side_encryption(kind);
        }
        if let Some(key) = &self.options.kms_key_id {
            builder = builder.server_side_encryption_aws_kms_key_id(key);
        }
        builder
    }

    fn gcs_builder(&self, endpoint: Option<&str>, file: Option<&Path>, prefix: &str) -> impl Builder {
        let mut builder = Gcs::default().root(prefix).bucket(&self.name);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(file) = file {
            builder = builder.credential_path(&file.to_string_lossy());
        }
        if let Some(class) = &self.options.storage_class {
            builder = builder.default_storage_class(class);
        }
        if self.options.anonymous == Some(true) {
            builder = builder.skip_signature();
        }
        builder
    }

    fn remote(&self, builder: impl Builder, http: &HttpTransporter) -> Result<Operators> {
        let retry = RetryLayer::new()
            .with_max_times(self.tries() - 1)
            .with_min_delay(pause::FIRST)
            .with_max_delay(pause::LONGEST)
            .with_factor(2.0)
            .with_jitter()
            // Whoever logs them would log whole requests.
            .with_notify(|_: opendal::layers::RetryEvent<'_>| ());
        let operator = Operator::new(builder).map_err(|error| self.refused(&error))?;
        let once = operator.with_context(OperationContext::new().with_http_transport(http.clone()));
        Ok(Operators { patient: once.clone().layer(retry), once })
    }

    /// How often a request is tried in all.
    pub(crate) fn tries(&self) -> usize {
        self.options.retries.unwrap_or(TRIES)
    }

    /// How long the server may stand still.
    pub(crate) fn patience(&self) -> Duration {
        patience(&self.options)
    }

    /// The most requests under way at once.
    pub(crate) fn concurrency(&self) -> usize {
        self.options.concurrency.unwrap_or(PLACES)
    }

    /// Where its requests go; nothing, if that follows from the kind of the store.
    pub(crate) fn unusual_origin(&self) -> Option<&str> {
        let server = self.server.as_deref()?;
        match &self.kind {
            _ if identity::is_usual(self.scheme, server) => None,
            Kind::S3 { calls, .. } => Some(&calls.endpoint.origin),
            Kind::Gcs { endpoint, .. } => endpoint.as_deref(),
            Kind::Azblob { endpoint, .. } => Some(endpoint),
            Kind::Fs(_) => None,
        }
    }

    /// Of S3.
    pub(crate) fn region(&self) -> Option<&str> {
        match &self.kind {
            Kind::S3 { calls, .. } => Some(&calls.endpoint.region),
            _ => None,
        }
    }

    /// For what OpenDAL does not ask a file system.
    pub(crate) fn folder(&self) -> Option<&Folder> {
        match &self.kind {
            Kind::Fs(folder) => Some(folder),
            _ => None,
        }
    }

    /// For what OpenDAL does not ask S3.
    pub(crate) fn calls(&self) -> Option<&Calls> {
        match &self.kind {
            Kind::S3 { calls, .. } => Some(calls),
            _ => None,
        }
    }

    fn refused(&self, error: &opendal::Error) -> Error {
        Error::config(format!("can't make use of a store: {}", self.veil.over(error.message())))
    }
}

fn check(options: &BucketOptions) -> Result<()> {
    let zero = |name: &str| Err(Error::config(format!("`{name}` is 0")).with_hint("it is at least 1"));
    match options {
        BucketOptions { concurrency: Some(0), .. } => zero("concurrency"),
        BucketOptions { retries: Some(0), .. } => zero("retries"),
        BucketOptions { timeout: Some(0), .. } => zero("timeout"),
        BucketOptions { kms_key_id: Some(_), server_side_encryption: None, .. } => {
            Err(Error::config("`kms_key_id` is of no use without `server_side_encryption`")
                .with_hint("set it to `aws:kms`"))
        }
        BucketOptions { external_id: Some(_), role_arn: None, .. } => {
            Err(Error::config("`external_id` is of no use without `role_arn`"))
        }
        _ => Ok(()),
    }
}

/// The secrets among the options, read.
struct Secrets {
    id: Option<Revealed>,
    secret: Option<Revealed>,
    token: Option<Revealed>,
    account_key: Option<Revealed>,
    sas: Option<Revealed>,
}

impl Secrets {
    fn reveal(options: &BucketOptions, cx: &BuildContext) -> Result<Self> {
        let read = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal(cx)).transpose();
        Ok(Self {
            id: read(&options.access_key_id)?,
            secret: read(&options.secret_access_key)?,
            token: read(&options.session_token)?,
            account_key: read(&options.account_key)?,
            sas: read(&options.sas_token)?,
        })
    }

    fn all(&self) -> Vec<Revealed> {
        [&self.id, &self.secret, &self.token, &self.account_key, &self.sas]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    fn keys(self) -> Result<Option<Keys>> {
        match (self.id, self.secret, self.token) {
            (Some(id), Some(secret), token) => Ok(Some(Keys { id, secret, token })),
            (None, None, None) => Ok(None),
            (None, None, Some(_)) => Err(Error::config("`session_token` is of no use without an access key")),
            (Some(_), None, _) => {
                Err(Error::config("`access_key_id` is of no use without `secret_access_key`"))
            }
            (None, Some(_), _) => {
                Err(Error::config("`secret_access_key` is of no use without `access_key_id`"))
            }
        }
    }
}

fn patience(options: &BucketOptions) -> Duration {
    Duration::from_secs(options.timeout.unwrap_or(PATIENCE_SECONDS))
}

fn http(
    options: &BucketOptions,
    base: &Path,
    scheme: Scheme,
    unanswered: &Unanswered,
) -> Result<HttpTransporter> {
    let authority = options.ca_file.as_ref().map(|file| base.join(file));
    let tls = tls::client_config(authority.as_deref())?;
    let places = options.concurrency.unwrap_or(PLACES);
    let transport = Transport::new(tls, places, patience(options), scheme, unanswered.clone())?;
    Ok(HttpTransporter::new(transport))
}

fn s3(url: &BucketUrl, options: &BucketOptions, secrets: Secrets, http: HttpTransporter) -> Result<Kind> {
    let endpoint = Endpoint::new(url.name(), options, |name| std::env::var(name).ok())?;
    let credentials = AwsCredentials::new(options, secrets.keys()?, &endpoint.region, http.clone());
    let signer = (options.anonymous != Some(true)).then(|| credentials.signer(&endpoint.region));
    let calls = Calls { endpoint, http, signer, tries: options.retries.unwrap_or(TRIES) };
    Ok(Kind::S3 { credentials, calls })
}

fn gcs(options: &BucketOptions, base: &Path, http: HttpTransporter) -> Result<Kind> {
    let endpoint = options.endpoint.as_deref().map(checked_origin).transpose()?;
    let file = options.credential_file.as_ref().map(|file| base.join(file));
    if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
        return Err(
            Error::config("there is no such file of credentials").with_context("file", file.display())
        );
    }
    Ok(Kind::Gcs { endpoint, file, http })
}

/// Where the containers of an account are.
pub(crate) fn azure_endpoint(options: &BucketOptions) -> Result<String> {
    match (&options.endpoint, &options.account_name) {
        (Some(endpoint), _) => checked_origin(endpoint),
        (None, Some(account)) => checked_origin(&format!("https://{account}.blob.core.windows.net")),
        (None, None) => {
            Err(Error::config("the account of Azure is not told").with_hint("set `account_name`"))
        }
    }
}

fn azblob(options: &BucketOptions, secrets: Secrets, http: HttpTransporter) -> Result<Kind> {
    Ok(Kind::Azblob {
        endpoint: azure_endpoint(options)?,
        account: options.account_name.clone(),
        key: secrets.account_key,
        sas: secrets.sas,
        http,
    })
}
