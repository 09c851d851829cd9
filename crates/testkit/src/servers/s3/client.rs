//! Requests to a store, without any library for S3: it looks at what others did.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::Request as HttpRequest;
use ureq::{Agent, Body};

use super::signature::{self, Request};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// No test looks at more.
const MOST: u64 = 1 << 30;

/// Who asks a store, and where it is.
#[derive(Clone)]
pub(super) struct S3Client {
    address: Arc<str>,
    access_key: &'static str,
    secret_key: &'static str,
    agent: Agent,
}

impl S3Client {
    pub(super) fn new(address: String, access_key: &'static str, secret_key: &'static str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .allow_non_standard_methods(true);
        let agent = Agent::new_with_config(config.build());
        Self { address: address.into(), access_key, secret_key, agent }
    }

    /// The same at another address.
    pub(super) fn at(&self, address: String) -> Self {
        Self { address: address.into(), ..self.clone() }
    }

    /// The answer to a signed request, whatever it says. `path` is not escaped yet. An error says why there is none.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<S3Answer, String> {
        let (path, query) = (signature::path(path), signature::query(query));
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect();
        headers.push(("host".to_owned(), self.address.to_string()));
        let mut request = Request { method, path: &path, query: &query, headers, body };
        request.sign(self.access_key, self.secret_key);
        let uri = format!("http://{}{path}?{query}", self.address);
        let mut http = HttpRequest::builder().method(method).uri(uri.trim_end_matches('?'));
        for (name, value) in &request.headers {
            http = http.header(name, value);
        }
        let answer = if matches!(method, "PUT" | "POST") {
            self.agent.run(http.body(body).expect("a request"))
        } else {
            self.agent.run(http.body(()).expect("a request"))
        };
        let asked = format!("{method} {path}?{query}");
        let answer = answer.map_err(|error| format!("no answer to {asked}: {error}"))?;
        S3Answer::read(asked, answer)
    }
}

/// What a store has answered.
pub struct S3Answer {
    asked: String,
    /// Its status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl S3Answer {
    fn read(asked: String, mut answer: ureq::http::Response<Body>) -> Result<Self, String> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MOST).read_to_vec();
        let body = body.map_err(|error| format!("half an answer to {asked}: {error}"))?;
        Ok(Self { asked, status, headers, body })
    }

    /// Itself.
    ///
    /// # Panics
    /// If the store did not do what it was asked to.
    pub fn succeeded(self) -> Self {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.asked, self.status, self.text());
        self
    }

    /// Itself, but nothing where there is nothing.
    ///
    /// # Panics
    /// If the store did neither find nor miss it.
    pub fn found(self) -> Option<Self> {
        (self.status != 404).then(|| self.succeeded())
    }

    /// What it says.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}
