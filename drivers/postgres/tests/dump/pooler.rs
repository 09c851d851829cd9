//! A pooler between a dump and the server.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use dumprestore_driver::{CutMode, ErrorKind};
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::dump_support::{config, cut, driver, open};

/// Which of its sessions a pooler gives next.
#[derive(Clone, Copy)]
enum Next {
    LastUsed,
    InTurns,
}

/// Gives each transaction of a client one of its sessions.
struct Pooler {
    free: Mutex<VecDeque<TcpStream>>,
    freed: Condvar,
    greeting: Vec<u8>,
    next: Next,
}

impl Pooler {
    /// Its port. It goes on until the process ends.
    fn start(server: &PostgresServer, database: &str, next: Next) -> u16 {
        let begun: Vec<_> = (0..2).map(|_| begin(server.port(), database).unwrap()).collect();
        let greeting = begun[0].1.clone();
        let free = begun.into_iter().map(|(session, _)| session).collect();
        let pooler = Arc::new(Self { free: Mutex::new(free), freed: Condvar::new(), greeting, next });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let pooler = pooler.clone();
                thread::spawn(move || pooler.serve(client));
            }
        });
        port
    }

    fn take(&self) -> TcpStream {
        let mut free = self.freed.wait_while(self.free.lock().unwrap(), |free| free.is_empty()).unwrap();
        match self.next {
            Next::LastUsed => free.pop_back().unwrap(),
            Next::InTurns => free.pop_front().unwrap(),
        }
    }

    fn give_back(&self, session: TcpStream) {
        self.free.lock().unwrap().push_back(session);
        self.freed.notify_one();
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        // Asked for TLS, it has none.
        while u32::from_be_bytes(startup(&mut client)?[..4].try_into().unwrap()) != 3 << 16 {
            client.write_all(b"N")?;
        }
        client.write_all(&self.greeting)?;
        let mut held: Option<TcpStream> = None;
        loop {
            let (kind, message) = match message(&mut client) {
                Ok((kind, message)) if kind != b'X' => (kind, message),
                _ => break,
            };
            let mut session = held.take().unwrap_or_else(|| self.take());
            session.write_all(&message)?;
            let is_over = matches!(kind, b'Q' | b'S') && answer(&mut session, &mut client)?;
            match is_over {
                true => self.give_back(session),
                false => held = Some(session),
            }
        }
        if let Some(mut session) = held {
            session.write_all(b"Q\0\0\0\x0dROLLBACK\0")?;
            answer(&mut session, &mut io::sink())?;
            self.give_back(session);
        }
        Ok(())
    }
}

/// Passes an answer on. Whether no transaction is open after it.
fn answer(session: &mut TcpStream, client: &mut impl Write) -> io::Result<bool> {
    loop {
        let (kind, message) = message(session)?;
        client.write_all(&message)?;
        if kind == b'Z' {
            return Ok(message.last() == Some(&b'I'));
        }
    }
}

fn startup(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn message(from: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message)?;
    let length = u32::from_be_bytes(message[1..].try_into().unwrap()) as usize;
    message.resize(1 + length, 0);
    from.read_exact(&mut message[5..])?;
    Ok((message[0], message))
}

/// A session, and what the server says when it begins.
fn begin(port: u16, database: &str) -> io::Result<(TcpStream, Vec<u8>)> {
    let mut session = TcpStream::connect(("127.0.0.1", port))?;
    let parameters = format!("user\0postgres\0database\0{database}\0client_encoding\0UTF8\0\0");
    session.write_all(&u32::try_from(8 + parameters.len()).unwrap().to_be_bytes())?;
    session.write_all(&(3_u32 << 16).to_be_bytes())?;
    session.write_all(parameters.as_bytes())?;
    let mut greeting = Vec::new();
    answer(&mut session, &mut greeting)?;
    Ok((session, greeting))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_gives_each_transaction_another_session_is_refused() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    for next in [Next::LastUsed, Next::InTurns] {
        let database = server.create_database();
        let port = Pooler::start(server, &database, next);
        let url = format!("postgres://postgres@127.0.0.1:{port}/{database}");
        let error = open(config(&url)).await.pin(&cut(CutMode::Open)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("pooler"), "{error:?}");
        assert!(error.hint().unwrap().contains("session mode"), "{error:?}");
        let inspection = driver(config(&url)).unwrap().inspect().await.unwrap();
        assert!(format!("{:?}", inspection.problems).contains("pooler"), "{:?}", inspection.problems);
    }
}
