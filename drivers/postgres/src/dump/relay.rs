//! `pg_dump`, on the session that holds the snapshot and the locks.
//!
//! With a session of its own `pg_dump` would have to lock every table again. It would then wait behind anybody who waits
//! to change one of them, and who in turn waits for our locks: for ever. So it is given a socket of ours to connect to,
//! and what it asks there is asked on the pinned session, which waits for nobody. It needs no snapshot, no password
//! and no certificate either: it never meets the server.
//!
//! Spoken is the part of the server's protocol that `pg_dump --schema-only` uses: simple queries, with answers in text.
//! What would begin a transaction or lock a table is done already, and only answered.

use std::path::Path;

use bytes::{BufMut, BytesMut};
use dumprestore_driver::{Error, Result};
use futures_util::TryStreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_postgres::SimpleQueryMessage;

use crate::connect::{Connection, Environment, Target};

/// A query of `pg_dump` has the numbers of all tables in it, and is no longer than that.
const LONGEST_QUERY: usize = 256 << 20;
/// Answers are sent in pieces of this size.
const BUFFER: usize = 64 << 10;
/// The port is only part of the socket's name.
const PORT: u16 = 5432;
/// A socket's path has 107 bytes at most on Linux, and 103 elsewhere, with our folder and the socket's own name.
const LONGEST_FOLDER: usize = 103 - "/dr-123456/.s.PGSQL.5432".len();
/// The texts that answers are made of are all `text`.
const TEXT: i32 = 25;

const PROTOCOL: i32 = 3 << 16;
const ASKS_FOR_TLS: i32 = 80_877_103;
const ASKS_FOR_GSS: i32 = 80_877_104;

/// A socket, in a folder that nobody else can enter.
pub(super) struct Relay {
    listener: UnixListener,
    folder: TempDir,
}

impl Relay {
    /// Listens, below `scratch`: what a kill leaves there is removed by the next run.
    pub(super) fn listen(scratch: &Path) -> Result<Self> {
        let failed = |error| Error::io("can't make a socket for `pg_dump`", error);
        let scratch = std::path::absolute(scratch).map_err(failed)?;
        let place = if can_be_named(&scratch) { scratch } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("dr-").tempdir_in(place).map_err(failed)?;
        let socket = folder.path().join(format!(".s.PGSQL.{PORT}"));
        let listener = UnixListener::bind(socket).map_err(failed)?;
        Ok(Self { listener, folder })
    }

    /// What `pg_dump` is to connect to.
    pub(super) fn target(&self) -> Result<Target> {
        let text = format!(
            "host={} port={PORT} user=dumprestore dbname=dumprestore sslmode=disable gssencmode=disable",
            in_quotes(self.folder.path())
        );
        Target::read(&text, None, &Environment::of([]))
    }

    /// Answers one client, until it goes.
    pub(super) async fn serve(self, session: &Connection) -> Result<()> {
        let (stream, _) = self.listener.accept().await.map_err(lost)?;
        // Nobody else is to come, and a kill from here on leaves nothing.
        self.folder.close().map_err(|error| Error::io("can't remove the socket for `pg_dump`", error))?;
        let mut client = Client { stream, out: BytesMut::with_capacity(BUFFER) };
        client.greet(session).await?;
        while let Some(query) = client.next_query().await? {
            client.answer(session, &query).await?;
        }
        Ok(())
    }
}

/// Whether a socket in a folder of that folder can be connected to. A comma would part two hosts.
fn can_be_named(folder: &Path) -> bool {
    folder.to_str().is_some_and(|path| path.len() <= LONGEST_FOLDER && !path.contains(','))
}

fn in_quotes(path: &Path) -> String {
    let path = path.to_string_lossy();
    format!("'{}'", path.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn lost(error: std::io::Error) -> Error {
    Error::io("lost `pg_dump`", error)
}

fn misunderstood() -> Error {
    Error::unsupported("`pg_dump` speaks in a way that is not known")
        .with_hint("use a `pg_dump` of PostgreSQL 18 or older, or a newer version of this program")
}

struct Client {
    stream: UnixStream,
    out: BytesMut,
}

impl Client {
    /// Takes any user for the one of the session.
    async fn greet(&mut self, session: &Connection) -> Result<()> {
        loop {
            let length = self.stream.read_i32().await.map_err(lost)?;
            let asked = self.stream.read_i32().await.map_err(lost)?;
            let rest = usize::try_from(length).ok().and_then(|length| length.checked_sub(8));
            let mut parameters = vec![0; rest.filter(|rest| *rest < BUFFER).ok_or_else(misunderstood)?];
            self.stream.read_exact(&mut parameters).await.map_err(lost)?;
            match asked {
                ASKS_FOR_TLS | ASKS_FOR_GSS => self.stream.write_all(b"N").await.map_err(lost)?,
                version if version >> 16 == PROTOCOL >> 16 => {
                    return self.welcome(session, version != PROTOCOL).await;
                }
                _ => return Err(misunderstood()),
            }
        }
    }

    async fn welcome(&mut self, session: &Connection, is_newer: bool) -> Result<()> {
        if is_newer {
            // No newer than 3.0, and without options that are not known.
            self.message(b'v', |out| {
                out.put_i32(PROTOCOL);
                out.put_i32(0);
            });
        }
        self.message(b'R', |out| out.put_i32(0));
        for (name, value) in parameters(session).await? {
            self.message(b'S', |out| {
                put_text(out, name);
                put_text(out, &value);
            });
        }
        self.message(b'K', |out| {
            out.put_i32(0);
            out.put_i32(0);
        });
        self.ready(b'I').await
    }

    /// The next query; `None` when there will be no more.
    async fn next_query(&mut self) -> Result<Option<String>> {
        let kind = match self.stream.read_u8().await {
            Ok(kind) => kind,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(lost(error)),
        };
        let length = self.stream.read_i32().await.map_err(lost)?;
        let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let length = length.filter(|length| *length <= LONGEST_QUERY).ok_or_else(misunderstood)?;
        let mut text = Vec::new();
        (&mut self.stream).take(length as u64).read_to_end(&mut text).await.map_err(lost)?;
        match kind {
            b'X' => Ok(None),
            b'Q' => {
                text.pop();
                String::from_utf8(text).map(Some).map_err(|_| misunderstood())
            }
            _ => Err(misunderstood()),
        }
    }

    async fn answer(&mut self, session: &Connection, query: &str) -> Result<()> {
        const DONE_ALREADY: [&str; 3] = ["BEGIN", "SET TRANSACTION", "LOCK TABLE"];
        if DONE_ALREADY.iter().any(|done| query.trim_start().starts_with(done)) {
            self.message(b'C', |out| put_text(out, "SET"));
            return self.ready(b'T').await;
        }
        match self.ask(session, query).await? {
            Ok(()) => self.ready(b'T').await,
            Err(error) => self.refuse(session, error).await,
        }
    }

    /// Asks the session, and sends its answers on as they come. The inner error is the session's.
    async fn ask(
        &mut self,
        session: &Connection,
        query: &str,
    ) -> Result<std::result::Result<(), tokio_postgres::Error>> {
        let mut answers = match session.simple_query_raw(query).await {
            Ok(answers) => std::pin::pin!(answers),
            Err(error) => return Ok(Err(error)),
        };
        loop {
            let answer = match answers.try_next().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            };
            if let Err(error) = self.put_answer(&answer) {
                return Ok(Err(error));
            }
            if self.out.len() >= BUFFER {
                self.flush().await?;
            }
        }
    }

    fn put_answer(&mut self, answer: &SimpleQueryMessage) -> std::result::Result<(), tokio_postgres::Error> {
        match answer {
            SimpleQueryMessage::RowDescription(columns) => self.message(b'T', |out| {
                out.put_u16(columns.len() as u16);
                for column in columns.iter() {
                    put_text(out, column.name());
                    out.put_i32(0);
                    out.put_i16(0);
                    out.put_i32(TEXT);
                    out.put_i16(-1);
                    out.put_i32(-1);
                    out.put_i16(0);
                }
            }),
            SimpleQueryMessage::Row(row) => {
                let values: Vec<Option<&str>> =
                    (0..row.len()).map(|at| row.try_get(at)).collect::<std::result::Result<_, _>>()?;
                self.message(b'D', |out| {
                    out.put_u16(values.len() as u16);
                    for value in values {
                        out.put_i32(value.map_or(-1, |value| value.len() as i32));
                        out.put_slice(value.unwrap_or_default().as_bytes());
                    }
                });
            }
            SimpleQueryMessage::CommandComplete(rows) => {
                self.message(b'C', |out| put_text(out, &format!("SELECT {rows}")));
            }
            _ => {}
        }
        Ok(())
    }

    /// The server's error is `pg_dump`'s to tell, with the query that it belongs to. If the session itself is lost, or
    /// said what is no text, there is nothing more to ask.
    async fn refuse(&mut self, session: &Connection, error: tokio_postgres::Error) -> Result<()> {
        let Some(said) = error.as_db_error() else {
            return Err(session.fault(error, "can't read definitions on the pinned session"));
        };
        self.message(b'E', |out| {
            for (field, value) in [
                (b'S', Some(said.severity())),
                (b'V', Some(said.severity())),
                (b'C', Some(said.code().code())),
                (b'M', Some(said.message())),
                (b'D', said.detail()),
                (b'H', said.hint()),
            ] {
                if let Some(value) = value {
                    out.put_u8(field);
                    put_text(out, value);
                }
            }
            out.put_u8(0);
        });
        self.ready(b'E').await
    }

    async fn ready(&mut self, state: u8) -> Result<()> {
        self.message(b'Z', |out| out.put_u8(state));
        self.flush().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out).await.map_err(lost)?;
        self.out.clear();
        Ok(())
    }

    /// A kind, a length that counts itself, and what `fill` puts.
    fn message(&mut self, kind: u8, fill: impl FnOnce(&mut BytesMut)) {
        self.out.put_u8(kind);
        let at = self.out.len();
        self.out.put_i32(0);
        fill(&mut self.out);
        let length = (self.out.len() - at) as i32;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

/// What a server tells each client at its beginning.
async fn parameters(session: &Connection) -> Result<Vec<(&'static str, String)>> {
    const NAMES: [&str; 8] = [
        "server_version",
        "server_encoding",
        "client_encoding",
        "is_superuser",
        "session_authorization",
        "DateStyle",
        "standard_conforming_strings",
        "integer_datetimes",
    ];
    let sql = "SELECT pg_catalog.current_setting(name) FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS n (name, at)
        ORDER BY at";
    let rows = session.query(sql, &[&&NAMES[..]]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't read settings"))?;
    Ok(NAMES.into_iter().zip(rows.iter().map(|row| row.get(0))).collect())
}
