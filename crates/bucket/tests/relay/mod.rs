//! What stands between a client and a store: it passes requests on, or makes trouble of a chosen kind.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of a request.
#[derive(Clone)]
pub(crate) enum Fate {
    /// It is passed on.
    Pass,
    /// It is answered so, and goes nowhere. Who is sent elsewhere is told where.
    Answer(u16, &'static str),
    /// The connection ends before an answer.
    Reset,
    /// It is passed on, and the answer ends after so many bytes.
    Cut(usize),
    /// It is passed on; its body is taken, and the answer given, so many bytes at a time with a pause after each.
    Slow(usize, Duration),
    /// It is passed on after a while.
    Late(Duration),
    /// Nothing ever comes.
    Silence,
}

/// A request, as far as anybody wants to know.
pub(crate) struct Asked {
    pub(crate) method: String,
    /// All before the body.
    pub(crate) head: String,
    /// From 0.
    pub(crate) number: usize,
}

type Judge = Box<dyn FnMut(&Asked) -> Fate + Send>;

/// A relay on a port of its own. It listens until the process ends.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<State>,
    tls: Option<tempfile::TempDir>,
}

struct State {
    target: String,
    judge: Mutex<Judge>,
    asked: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Relay {
    pub(crate) fn to(target: &str, judge: impl FnMut(&Asked) -> Fate + Send + 'static) -> Self {
        Self::start(target, Box::new(judge), None)
    }

    /// The same, encrypted, with a certificate of an authority of its own.
    pub(crate) fn encrypted(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(tls(folder.path()));
        let mut relay = Self::start(target, Box::new(|_| Fate::Pass), Some(config));
        relay.tls = Some(folder);
        relay
    }

    fn start(target: &str, judge: Judge, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            target: target.to_owned(),
            judge: Mutex::new(judge),
            asked: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, tls) = (Arc::clone(&serving), tls.clone());
                thread::spawn(move || match tls {
                    None => state.serve(stream),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        state.serve(rustls::StreamOwned::new(connection, stream))
                    }
                });
            }
        });
        Self { address, state, tls: None }
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// The file with the authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.tls.as_ref().unwrap().path().join("ca.crt")
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// How many were late at once at the most.
    pub(crate) fn most_late_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
}

impl State {
    /// One request of a connection; then it is closed. That a client goes away is its own affair.
    fn serve(&self, mut client: impl Read + Write) -> io::Result<()> {
        let head = read_head(&mut client)?;
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let method = head.split(' ').next().unwrap_or_default().to_owned();
        let fate = (self.judge.lock().unwrap())(&Asked { method, head: head.clone(), number });
        if let Fate::Late(pause) = fate {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            thread::sleep(pause);
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
        self.meet(&fate, &head, &mut client)
    }

    fn meet(&self, fate: &Fate, head: &str, client: &mut (impl Read + Write)) -> io::Result<()> {
        let length = header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        match fate {
            Fate::Pass | Fate::Late(_) => {
                let mut server = self.forward(head, client, length, usize::MAX, Duration::ZERO)?;
                give(&mut server, client, usize::MAX, 64 << 10, Duration::ZERO)
            }
            Fate::Slow(bytes, pause) => {
                let mut server = self.forward(head, client, length, *bytes, *pause)?;
                give(&mut server, client, usize::MAX, *bytes, *pause)
            }
            Fate::Cut(bytes) => {
                let mut server = self.forward(head, client, length, usize::MAX, Duration::ZERO)?;
                give(&mut server, client, *bytes, 64 << 10, Duration::ZERO)
            }
            Fate::Answer(status, body) => {
                io::copy(&mut client.take(length), &mut io::sink())?;
                let elsewhere = if *status == 301 { "x-amz-bucket-region: eu-west-1\r\n" } else { "" };
                let head = format!(
                    "HTTP/1.1 {status} Said\r\n{elsewhere}Connection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                client.write_all(head.as_bytes())?;
                client.write_all(body.as_bytes())?;
                client.flush()
            }
            Fate::Reset => Ok(()),
            Fate::Silence => {
                io::copy(client, &mut io::sink())?;
                Ok(())
            }
        }
    }

    fn forward(
        &self,
        head: &str,
        client: &mut impl Read,
        length: u64,
        piece: usize,
        pause: Duration,
    ) -> io::Result<TcpStream> {
        let mut server = TcpStream::connect(&self.target)?;
        server.write_all(head.as_bytes())?;
        let mut left = client.take(length);
        let mut buffer = vec![0; piece.min(64 << 10)];
        loop {
            match left.read(&mut buffer)? {
                0 => return Ok(server),
                read => server.write_all(&buffer[..read])?,
            }
            thread::sleep(pause);
        }
    }
}

/// The answer, or its beginning.
fn give(
    server: &mut impl Read,
    client: &mut impl Write,
    most: usize,
    piece: usize,
    pause: Duration,
) -> io::Result<()> {
    let mut left = server.take(most as u64);
    let mut buffer = vec![0; piece];
    loop {
        match left.read(&mut buffer)? {
            0 => return client.flush(),
            read => client.write_all(&buffer[..read])?,
        }
        thread::sleep(pause);
    }
}

fn read_head(client: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A certificate for `localhost`, of an authority made for it.
fn tls(folder: &Path) -> rustls::ServerConfig {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tests \
        -keyout ca.key -out ca.crt && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
        -keyout server.key -out server.csr && printf subjectAltName=DNS:localhost > names && openssl x509 -req -days 2 \
        -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out server.crt";
    let made = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = CertificateDer::from_pem_file(folder.join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}
