//! HTTP for OpenDAL: so many requests at once, and none that stands still for ever.
//!
//! OpenDAL has layers for both, but its limit holds a place for as long as a writer or a reader lives, so that whoever has
//! some open can wait for himself for ever; and its timeout is one for a whole part of an upload, however large that is
//! and however slow the line. Here a place is held until the answer begins, and time counts only while no byte moves.
//!
//! What the system has taken is not yet on its way: it keeps some megabytes for a slow line. Whether the other end is
//! still there, it watches itself; all that can be done here is to wait for as long as the slowest line would take.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::{Buf, Bytes};
use dumprestore_driver::{Error, Result};
use futures_util::stream;
use http::{Request, Response};
use md5::{Digest, Md5};
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::Scheme;
use crate::readable::make_readable;
use crate::trouble::Trouble;

const CONTENT_MD5: &str = "content-md5";
/// Of a request that has the store make a copy.
const COPY_SOURCE: &str = "x-amz-copy-source";

/// What is handed to the connection at once: so small that a slow line is not taken for one that stands still.
const PIECE_BYTES: usize = 64 * 1024;

/// As much as the system may have taken and not sent,
const MOST_BUFFERED_BYTES: u64 = 8 << 20;
/// on the slowest line that is waited for.
const SLOWEST_LINE_BYTES_PER_SECOND: u64 = 64 << 10;

/// The longest to wait for a connection, however long an answer may take.
const LONGEST_CONNECT: Duration = Duration::from_secs(20);

/// A copy of gigabytes is answered once it is made, and some stores say nothing meanwhile: so many times as long is waited for
/// it.
const PATIENCE_FOR_COPIES: u32 = 10;
/// Whether the other end is there meanwhile, is asked so often.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// One HTTP client, shared by all that speak to one store.
#[derive(Clone)]
pub(crate) struct Transport {
    client: reqwest::Client,
    places: Arc<Semaphore>,
    patience: Duration,
    scheme: Scheme,
    unanswered: Unanswered,
}

/// When the last request was given up on that may have changed something. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Unanswered(Arc<Mutex<Option<Instant>>>);

impl Unanswered {
    /// How long ago.
    pub(crate) fn since(&self) -> Option<Duration> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed())
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Transport {
    /// A client that has at most `places` requests under way, and gives up on whoever stands still for `patience`.
    ///
    /// # Errors
    /// If the client can't be made.
    pub(crate) fn new(
        tls: rustls::ClientConfig,
        places: usize,
        patience: Duration,
        scheme: Scheme,
        unanswered: Unanswered,
    ) -> Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("dumprestore/", env!("CARGO_PKG_VERSION")))
            // A signature is for one host: who is sent elsewhere has to be told.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // What is to be tried again is decided above.
            .retry(reqwest::retry::never())
            .connect_timeout(patience.min(LONGEST_CONNECT))
            .tcp_nodelay(true)
            .tcp_user_timeout(patience)
            .tcp_keepalive(KEEPALIVE)
            .build()
            .map_err(|error| Error::defect("can't make an HTTP client").with_source(error.without_url()))?;
        Ok(Self { client, places: Arc::new(Semaphore::new(places)), patience, scheme, unanswered })
    }

    /// The request, to S3 saying what its body should be when it arrives, if it has one and does not say so already: S3 then
    /// refuses what is not, and buckets with locks take nothing without. (The signatures of other stores are about all headers, or
    /// their requests have digests already.)
    async fn digested(&self, mut request: Request<Buffer>) -> opendal::Result<Request<Buffer>> {
        let is_upload = request.method() == http::Method::PUT && !request.body().is_empty();
        if self.scheme != Scheme::S3 || !is_upload || request.headers().contains_key(CONTENT_MD5) {
            return Ok(request);
        }
        let body = request.body().clone();
        let digest = tokio::task::spawn_blocking(move || {
            let mut md5 = Md5::new();
            body.for_each(|piece| md5.update(&piece));
            BASE64_STANDARD.encode(md5.finalize())
        });
        let digest = digest.await.ok().and_then(|digest| http::HeaderValue::from_str(&digest).ok());
        let Some(digest) = digest else {
            return Err(opendal::Error::new(ErrorKind::Unexpected, "can't digest an upload"));
        };
        request.headers_mut().insert(CONTENT_MD5, digest);
        Ok(request)
    }

    /// What may have been done, and what may yet be, is noted if nobody says that it was.
    async fn answer(&self, request: Request<Buffer>) -> Result<reqwest::Response, Trouble> {
        let changes = !matches!(*request.method(), http::Method::GET | http::Method::HEAD);
        let answer = self.ask(request).await;
        if changes && matches!(answer, Err(Trouble::Stalled(_) | Trouble::Broken(_))) {
            self.unanswered.note();
        }
        answer
    }

    async fn ask(&self, request: Request<Buffer>) -> Result<reqwest::Response, Trouble> {
        let (parts, body) = request.into_parts();
        let patience = match parts.headers.contains_key(COPY_SOURCE) {
            true => self.patience * PATIENCE_FOR_COPIES,
            false => self.patience,
        };
        let moved = Arc::new(Moved::default());
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| Trouble::Unreachable(format!("the URL is none: {error}")))?;
        let mut request = self.client.request(parts.method, url).headers(parts.headers);
        if !body.is_empty() {
            request = request.body(reqwest::Body::wrap(Upload { left: body, moved: Arc::clone(&moved) }));
        }
        tokio::select! {
            answer = request.send() => answer.map_err(|error| Trouble::of(&error)),
            () = moved.stopped(patience) => Err(Trouble::Stalled(patience)),
        }
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let mut request = self.digested(request).await?;
        if self.scheme == Scheme::Gcs && is_of_content(request.uri()) {
            // Without that, Google unpacks objects whose content is packed, and does not say how long they are then.
            let packed = http::HeaderValue::from_static("gzip");
            request.headers_mut().insert(http::header::ACCEPT_ENCODING, packed);
        }
        let place = self
            .places
            .acquire()
            .await
            .map_err(|_| opendal::Error::new(ErrorKind::Unexpected, "the HTTP client is closed"))?;
        let uri = request.uri().clone();
        let is_head = request.method() == http::Method::HEAD;
        let mut answer = self.answer(request).await.map_err(failed)?;
        drop(place);
        if self.scheme == Scheme::S3 {
            make_readable(answer.headers_mut());
        }
        let length = answer
            .headers()
            .get(http::header::CONTENT_LENGTH)
            .filter(|_| !is_head)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let mut response =
            Response::builder().status(answer.status()).version(answer.version()).extension(uri);
        if let Some(headers) = response.headers_mut() {
            std::mem::swap(headers, answer.headers_mut());
        }
        response.body(HttpBody::new(body(answer, self.patience), length)).map_err(|error| {
            opendal::Error::new(ErrorKind::Unexpected, "the answer makes no sense").set_source(error)
        })
    }
}

/// Whether an object's bytes are asked for, and not what is known of it.
fn is_of_content(uri: &http::Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|parameter| parameter == "alt=media"))
}

type Pieces = Pin<Box<dyn stream::Stream<Item = opendal::Result<Buffer>> + Send + Sync>>;

fn body(answer: reqwest::Response, patience: Duration) -> Pieces {
    Box::pin(stream::unfold(Some(answer), move |answer| async move {
        let mut answer = answer?;
        match tokio::time::timeout(patience, answer.chunk()).await {
            Ok(Ok(Some(piece))) => Some((Ok(Buffer::from(piece)), Some(answer))),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some((Err(failed(Trouble::of(&error))), None)),
            Err(_) => Some((Err(failed(Trouble::Stalled(patience))), None)),
        }
    }))
}

fn failed(trouble: Trouble) -> opendal::Error {
    opendal::Error::new(ErrorKind::Unexpected, "no answer")
        .with_temporary(trouble.may_pass())
        .set_source(trouble)
}

/// How many bytes of a request were taken.
#[derive(Default)]
struct Moved(AtomicU64);

impl Moved {
    /// Returns once nothing was taken for that long, and what was taken must have been sent.
    async fn stopped(&self, patience: Duration) {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let lag = seen.min(MOST_BUFFERED_BYTES) / SLOWEST_LINE_BYTES_PER_SECOND;
            tokio::time::sleep_until(since + patience + Duration::from_secs(lag)).await;
            let now = self.0.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            (seen, since) = (now, Instant::now());
        }
    }
}

/// The body of a request, in small pieces.
struct Upload {
    left: Buffer,
    moved: Arc<Moved>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<http_body::Frame<Bytes>, Self::Error>>> {
        let length = self.left.chunk().len().min(PIECE_BYTES);
        self.moved.0.fetch_add(length as u64, Ordering::Relaxed);
        Poll::Ready((length > 0).then(|| Ok(http_body::Frame::data(self.left.copy_to_bytes(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left.len() as u64)
    }
}
