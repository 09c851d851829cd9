//! One connection of a client: its requests, and the answers.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

use super::plan::{Mishap, Plan};
use super::reset;

/// More than a server would read.
const LONGEST_HEAD: usize = 64 << 10;
/// How much is passed on at once.
const PIECE: usize = 64 << 10;
/// How often a slow body goes on.
const TICKS_PER_SECOND: u64 = 20;

/// Serves requests one after the other, until the client goes or something goes wrong.
pub(super) async fn serve(mut client: TcpStream, server: &str, plan: &Mutex<Plan>) -> Result<()> {
    client.set_nodelay(true)?;
    loop {
        if !one(&mut client, server, plan).await? {
            return Ok(());
        }
    }
}

/// Serves one request. Whether another may follow.
async fn one(client: &mut TcpStream, server: &str, plan: &Mutex<Plan>) -> Result<bool> {
    // Nothing of the next request comes before this one is answered, so nothing is lost with the buffer.
    let (read, mut write) = client.split();
    let mut read = BufReader::new(read);
    let Some(mut head) = Head::read(&mut read).await? else { return Ok(false) };
    let mishap = {
        let (method, target) = head.request();
        plan.lock().unwrap_or_else(PoisonError::into_inner).next(method, target)
    };
    if mishap == Some(Mishap::Refuse) {
        reset(client);
        return Ok(false);
    }
    if let Some(Mishap::Later(pause)) = mishap {
        // It has to hear of that now.
        write.shutdown().await?;
        return later(&head, server, pause).await;
    }
    if mishap == Some(Mishap::Unconditional) {
        head.headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("if-"));
    }
    if head.value("transfer-encoding").is_some() {
        return answer(&mut write, 411).await;
    }
    if head.value("expect").is_some() {
        write.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length = head.value("content-length").map_or(Ok(0), str::parse).map_err(invalid)?;
    if let Some(Mishap::Status(status)) = mishap {
        pass(&mut read.take(length), &mut tokio::io::sink(), None).await?;
        return answer(&mut write, status).await;
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    if !ask(&head, &mut read, length, &mut upstream, mishap).await? {
        reset(&upstream);
        reset(client);
        return Ok(false);
    }
    bring(&mut upstream, client, mishap).await
}

/// Whoever asked has gone.
async fn later(head: &Head, server: &str, pause: Duration) -> Result<bool> {
    tokio::time::sleep(pause).await;
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(&head.with_close()).await?;
    pass(&mut upstream, &mut tokio::io::sink(), None).await?;
    Ok(false)
}

/// Sends a request on. Whether all of it may arrive.
async fn ask(
    head: &Head,
    client: &mut BufReader<ReadHalf<'_>>,
    length: u64,
    upstream: &mut TcpStream,
    mishap: Option<Mishap>,
) -> Result<bool> {
    upstream.write_all(&head.with_close()).await?;
    let mut body = client.take(length);
    if let Some(Mishap::CutRequest(most)) = mishap {
        pass(&mut body.take(most), upstream, None).await?;
        return Ok(false);
    }
    if pass(&mut body, upstream, mishap).await.is_err() {
        // It has answered without reading all. The client reads that only once it has sent all.
        pass(&mut body, &mut tokio::io::sink(), None).await?;
    }
    Ok(true)
}

/// Brings the answer: it ends with the server's connection. Whether another request may follow.
async fn bring(upstream: &mut TcpStream, client: &mut TcpStream, mishap: Option<Mishap>) -> Result<bool> {
    let mut upstream = BufReader::new(upstream);
    let Some(mut head) = Head::read(&mut upstream).await? else {
        reset(client);
        return Ok(false);
    };
    if let Some((name, value)) = mishap.and_then(Mishap::header) {
        head.headers.push((name.to_owned(), value.to_owned()));
    }
    match mishap {
        Some(Mishap::LoseAnswer) => {
            // All of it is done once all of it is said.
            pass(&mut upstream, &mut tokio::io::sink(), None).await?;
            reset(client);
            return Ok(false);
        }
        Some(Mishap::Stall) => {
            let mut nothing = [0];
            // The client is done waiting when it goes.
            let _ = client.read(&mut nothing).await;
            return Ok(false);
        }
        _ => {}
    }
    let ends_itself = head.value("content-length").is_some() || head.value("transfer-encoding").is_some();
    let goes_on = ends_itself && !matches!(mishap, Some(Mishap::CutAnswer(_)));
    client.write_all(&if goes_on { head.without_close() } else { head.with_close() }).await?;
    match mishap {
        Some(Mishap::CutAnswer(most)) => pass(&mut upstream.take(most), client, None).await?,
        _ => pass(&mut upstream, client, mishap).await?,
    }
    Ok(goes_on)
}

/// Passes on all that comes, slowly if that is what is to be.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mishap: Option<Mishap>,
) -> Result<()> {
    let pace = match mishap {
        Some(Mishap::Slow(rate)) => usize::try_from(rate / TICKS_PER_SECOND).ok(),
        _ => None,
    };
    let mut piece = vec![0; pace.map_or(PIECE, |pace| pace.clamp(1, PIECE))];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.flush().await;
        }
        to.write_all(&piece[..read]).await?;
        if pace.is_some() {
            tokio::time::sleep(Duration::from_millis(1_000 / TICKS_PER_SECOND)).await;
        }
    }
}

/// Answers in the server's place, as S3 does.
async fn answer(client: &mut (impl AsyncWrite + Unpin), status: u16) -> Result<bool> {
    let code = match status {
        400 => "InvalidRequest",
        411 => "MissingContentLength",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<Error><Code>{code}</Code><Message>by intent</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n",
        body.len()
    );
    client.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await?;
    Ok(false)
}

/// The lines before a body.
struct Head {
    first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads one, if there is another.
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            match from.read_u8().await {
                Ok(byte) if bytes.len() < LONGEST_HEAD => bytes.push(byte),
                Ok(_) => return Err(invalid("a head without end")),
                Err(_) if bytes.is_empty() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let text = String::from_utf8(bytes).map_err(invalid)?;
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Ok(Some(Self { first, headers }))
    }

    /// Its method, and its path and query.
    fn request(&self) -> (&str, &str) {
        let mut words = self.first.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    fn value(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn with_close(&self) -> Vec<u8> {
        self.written("connection: close\r\n")
    }

    fn without_close(&self) -> Vec<u8> {
        self.written("")
    }

    fn written(&self, last: &str) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            if !["connection", "expect"].iter().any(|not| name.eq_ignore_ascii_case(not)) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        format!("{text}{last}\r\n").into_bytes()
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}
