//! Who we are to S3: the usual chain of AWS, with what went wrong in it remembered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dumprestore_driver::Revealed;
use http::{Request, Response};
use opendal::HttpTransporter;
use reqsign_aws_v4::{
    AssumeRoleCredentialProvider, AssumeRoleWithWebIdentityCredentialProvider, Credential,
    ECSCredentialProvider, EnvCredentialProvider, IMDSv2CredentialProvider, ProcessCredentialProvider,
    ProfileCredentialProvider, RequestSigner, SSOCredentialProvider, StaticCredentialProvider,
};
use reqsign_command_execute_tokio::TokioCommandExecute;
use reqsign_core::{Context, HttpSend, OsEnv, ProvideCredential, ProvideCredentialDyn, Signer};
use reqsign_file_read_tokio::TokioFileRead;

use crate::BucketOptions;

/// Keys that were given.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) id: Revealed,
    pub(crate) secret: Revealed,
    pub(crate) token: Option<Revealed>,
}

/// One place where credentials may be, by what it is called.
type Source = (&'static str, Box<dyn ProvideCredentialDyn<Credential = Credential>>);

/// Finds credentials for AWS. Clones share what they found.
#[derive(Debug, Clone)]
pub(crate) struct AwsCredentials(Arc<Chain>);

struct Chain {
    sources: Vec<Source>,
    context: Context,
    trouble: Mutex<Option<String>>,
}

impl AwsCredentials {
    /// From those keys alone, from that profile alone, or else from wherever the tools of AWS look; and then, if one is
    /// named, in a role.
    pub(crate) fn new(
        options: &BucketOptions,
        keys: Option<Keys>,
        region: &str,
        http: HttpTransporter,
    ) -> Self {
        let context = context(http);
        let sources = match (keys, &options.profile) {
            (Some(keys), _) => vec![("options", given(&keys))],
            (None, Some(profile)) => of_profile(profile),
            (None, None) => usual(),
        };
        let first = Self::of(sources, context.clone());
        let Some(role) = &options.role_arn else {
            return first;
        };
        let signer = Signer::new(context.clone(), first, RequestSigner::new("sts", region));
        let mut assumed = AssumeRoleCredentialProvider::new(role.clone(), signer)
            .with_region(region.to_owned())
            .with_regional_sts_endpoint()
            .with_role_session_name("dumprestore".to_owned());
        if let Some(id) = &options.external_id {
            assumed = assumed.with_external_id(id.clone());
        }
        Self::of(vec![("role", Box::new(assumed))], context)
    }

    fn of(sources: Vec<Source>, context: Context) -> Self {
        Self(Arc::new(Chain { sources, context, trouble: Mutex::new(None) }))
    }

    /// Why none were found, if none were.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A signer of requests to S3 itself.
    pub(crate) fn signer(&self, region: &str) -> Signer<Credential> {
        Signer::new(self.0.context.clone(), self.clone(), RequestSigner::new("s3", region))
    }
}

fn context(http: HttpTransporter) -> Context {
    Context::new()
        .with_file_read(TokioFileRead)
        .with_command_execute(TokioCommandExecute)
        .with_env(OsEnv)
        .with_http_send(Http(http))
}

fn given(keys: &Keys) -> Box<dyn ProvideCredentialDyn<Credential = Credential>> {
    let provider = StaticCredentialProvider::new(keys.id.expose(), keys.secret.expose());
    Box::new(match &keys.token {
        Some(token) => provider.with_session_token(token.expose()),
        None => provider,
    })
}

fn of_profile(profile: &str) -> Vec<Source> {
    vec![
        ("profile", Box::new(ProfileCredentialProvider::new().with_profile(profile))),
        ("single sign-on", Box::new(SSOCredentialProvider::new().with_profile(profile))),
        ("credential process", Box::new(ProcessCredentialProvider::new().with_profile(profile))),
    ]
}

fn usual() -> Vec<Source> {
    vec![
        ("environment", Box::new(EnvCredentialProvider::new())),
        ("profile", Box::new(ProfileCredentialProvider::new())),
        ("single sign-on", Box::new(SSOCredentialProvider::new())),
        ("web identity", Box::new(AssumeRoleWithWebIdentityCredentialProvider::new())),
        ("credential process", Box::new(ProcessCredentialProvider::new())),
        ("container", Box::new(ECSCredentialProvider::new())),
        ("instance", Box::new(IMDSv2CredentialProvider::new())),
    ]
}

impl ProvideCredential for AwsCredentials {
    type Credential = Credential;

    /// None found is no error here: what asks passes over errors, and remembers them nowhere.
    async fn provide_credential(&self, _: &Context) -> reqsign_core::Result<Option<Credential>> {
        let mut tried = Vec::new();
        for (name, source) in &self.0.sources {
            match source.provide_credential_dyn(&self.0.context).await {
                Ok(Some(credential)) => return Ok(Some(credential)),
                Ok(None) => tried.push((*name).to_owned()),
                Err(error) => tried.push(format!("{name} ({})", first_line(&error.to_string()))),
            }
        }
        let told = format!("looked in: {}", tried.join(", "));
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        Ok(None)
    }
}

/// The rest may be what a program or a server said.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(120).collect()
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|(name, _)| name)).finish()
    }
}

/// Services that tell a machine who it is answer at once, or are not there.
const LINK_LOCAL_PATIENCE: Duration = Duration::from_secs(2);

/// HTTP for credentials.
#[derive(Debug)]
struct Http(HttpTransporter);

impl HttpSend for Http {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let host = request.uri().host().unwrap_or_default();
        let is_local = host.starts_with("169.254.") || host.starts_with("[fd00:ec2:");
        let answer = self.0.http_send(request);
        if !is_local {
            return answer.await;
        }
        match tokio::time::timeout(LINK_LOCAL_PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(reqsign_core::Error::unexpected("nobody answers")),
        }
    }
}
