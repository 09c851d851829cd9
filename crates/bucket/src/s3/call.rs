//! Sending one request.

use std::time::SystemTime;

use http::{HeaderMap, Method, Request, Response};
use opendal::{Buffer, Error, ErrorKind, HttpTransporter, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqsign_aws_v4::Credential;
use reqsign_core::Signer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::refusal::Refusal;
use super::xml;
use crate::endpoint::Endpoint;
use crate::pause::Pauses;

/// What stands in a URL as it is; in a key, slashes too.
const IN_QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const IN_KEY: AsciiSet = IN_QUERY.remove(b'/');

/// An answer is a page of a listing at the most,
const LONGEST_ANSWER_BYTES: usize = 32 << 20;
/// or a few lines, which a server that takes no notice of what is asked for may take for the object itself.
const SHORT_ANSWER_BYTES: usize = 64 << 10;

/// Requests to one bucket.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) endpoint: Endpoint,
    pub(crate) http: HttpTransporter,
    /// `None`: nothing is signed.
    pub(crate) signer: Option<Signer<Credential>>,
    pub(crate) tries: usize,
}

/// A request without a body.
pub(crate) struct Call {
    /// As S3 calls it.
    pub(crate) name: &'static str,
    method: Method,
    key: String,
    query: String,
    most_bytes: usize,
}

impl Call {
    /// That asks for something of the bucket: `about` is the name of a sub-resource, such as `versioning`.
    pub(crate) fn of_bucket(name: &'static str, about: &str) -> Self {
        Self { most_bytes: LONGEST_ANSWER_BYTES, ..Self::new(name, Method::GET, "", about) }
    }

    /// About an object.
    pub(crate) fn new(name: &'static str, method: Method, key: &str, about: &str) -> Self {
        Self { name, method, key: key.to_owned(), query: about.to_owned(), most_bytes: SHORT_ANSWER_BYTES }
    }

    /// The same, with a parameter.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(name);
        self.query.push('=');
        self.query.extend(utf8_percent_encode(value, &IN_QUERY));
        self
    }

    fn url(&self, endpoint: &Endpoint) -> String {
        let key = utf8_percent_encode(&self.key, &IN_KEY);
        let mut url = format!("{}/{key}", endpoint.bucket_url());
        if !self.query.is_empty() {
            url.push('?');
            url.push_str(&self.query);
        }
        url
    }
}

impl Calls {
    /// The body of the answer.
    ///
    /// # Errors
    /// With a [`Refusal`] as their cause if the server answers otherwise than with yes.
    pub(crate) async fn ask(&self, call: &Call) -> Result<Buffer> {
        let answer = self.answer(call).await?;
        match answer.status().is_success() {
            true => Ok(answer.into_body()),
            false => Err(Refusal::of(call.name, &answer).into_error()),
        }
    }

    /// What is said of an object; nothing, if it may not be asked for.
    pub(crate) async fn headers(&self, call: &Call) -> Result<HeaderMap> {
        let answer = self.answer(call).await?;
        match answer.status().as_u16() {
            403 => Ok(HeaderMap::new()),
            _ if answer.status().is_success() => Ok(answer.into_parts().0.headers),
            _ => Err(Refusal::of(call.name, &answer).into_error()),
        }
    }

    /// The server's clock, to the second.
    pub(crate) async fn clock(&self) -> Result<SystemTime> {
        let answer = self.answer(&Call::new("HeadBucket", Method::HEAD, "", "")).await?;
        let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok());
        match date {
            Some(date) if !answer.status().is_server_error() => Ok(date.into()),
            _ => Err(Error::new(ErrorKind::Unexpected, "the server does not tell the time")),
        }
    }

    /// Whatever the server answers, once it is not too busy to.
    async fn answer(&self, call: &Call) -> Result<Response<Buffer>> {
        let mut pauses = Pauses::new(self.tries);
        loop {
            let answer = self.once(call).await;
            let may_pass = match &answer {
                Ok(answer) => is_busy(answer.status().as_u16()),
                Err(error) => error.is_temporary(),
            };
            match pauses.next().filter(|_| may_pass) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return answer,
            }
        }
    }

    async fn once(&self, call: &Call) -> Result<Response<Buffer>> {
        let request = Request::builder()
            .method(call.method.clone())
            .uri(call.url(&self.endpoint))
            .body(Buffer::new())
            .map_err(|error| Error::new(ErrorKind::Unexpected, "can't make a request").set_source(error))?;
        let (mut parts, body) = request.into_parts();
        if let Some(signer) = &self.signer {
            signer.sign(&mut parts, None).await.map_err(|error| {
                Error::new(ErrorKind::Unexpected, "can't sign a request").set_source(error)
            })?;
            // The client says it itself.
            parts.headers.remove(http::header::HOST);
        }
        let (parts, mut body) = self.http.fetch(Request::from_parts(parts, body)).await?.into_parts();
        let mut read: Vec<u8> = Vec::new();
        while let Some(piece) = next(&mut body).await? {
            if read.len() + piece.len() > call.most_bytes {
                return Err(xml::senseless());
            }
            piece.for_each(|bytes| read.extend_from_slice(&bytes));
        }
        Ok(Response::from_parts(parts, Buffer::from(read)))
    }
}

async fn next(body: &mut opendal::HttpBody) -> Result<Option<Buffer>> {
    use opendal::raw::oio::ReadStream;
    let piece = body.read().await?;
    Ok((!piece.is_empty()).then_some(piece))
}

fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}
