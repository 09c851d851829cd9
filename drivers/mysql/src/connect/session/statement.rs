//! One statement: asked, answered, and given up if the run is.

use std::future::Future;
use std::io;

use dumprestore_driver::{Cancel, Error, Result};
use mysql_async::Conn;
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable as _;

use super::super::fault;
use super::super::open::{Place, kill};
use super::super::row::RawRow;
use super::super::said::{Done, Trouble};
use super::{PATIENCE, Session};

const QUERY_INTERRUPTED: u16 = 1317;

impl Session {
    /// Whether a statement may be begun.
    pub(super) fn check(&self, sql: &[u8]) -> Result<()> {
        self.cancel.as_ref().map_or(Ok(()), Cancel::check)?;
        if self.is_gone() {
            return Err(self.ended());
        }
        if sql.len() >= self.largest_message {
            return Err(Error::environment("a statement is longer than the server takes")
                .with_context("bytes", sql.len())
                .with_context("max_allowed_packet", self.largest_message)
                .with_hint("raise `max_allowed_packet` at the server"));
        }
        Ok(())
    }

    pub(super) fn ended(&self) -> Error {
        Error::environment("the session has ended before")
            .with_context("database", &self.target)
            .with_hint("run it again")
    }

    fn without_transaction(&self) -> Error {
        Error::environment("the server has ended the transaction that shows the moment of the cut")
            .with_context("database", &self.target)
            .with_hint("it was rolled back, or something between us and the server changes sessions: run it again, at the server itself")
    }

    /// What became of a statement, once nothing of it is under way any more.
    pub(super) async fn conclude(&mut self, ended: Result<Done, Trouble>, sql: &[u8]) -> Result<Done> {
        let cancelled = self.cancel.as_ref().map_or(Ok(()), Cancel::check);
        self.offers.take_back();
        match ended {
            Ok(done) => {
                self.busy = false;
                if self.keeps_transaction && !done.in_transaction {
                    self.conn = None;
                    return Err(self.without_transaction());
                }
                Ok(done)
            }
            Err(Trouble::Refused(said)) => {
                self.busy = false;
                // Whether it has ended the transaction as well, shows in the next answer.
                if ends_session(said.code) {
                    self.conn = None;
                }
                match cancelled {
                    Err(cancelled) if said.code == QUERY_INTERRUPTED => Err(cancelled),
                    _ => Err(fault::of_statement(Trouble::Refused(said), sql, &self.target)),
                }
            }
            Err(Trouble::Ours(error)) => {
                self.give_up().await;
                Err(error)
            }
            Err(lost) => {
                self.give_up().await;
                cancelled?;
                Err(fault::of_statement(lost, sql, &self.target))
            }
        }
    }

    /// Ends the session at the server first: the connection's own end might pass for that of a file, or wait for all
    /// rows of a result.
    async fn give_up(&mut self) {
        if let Some(conn) = self.conn.take() {
            end(self.place(), conn).await;
        }
    }
}

/// Ends a session at the server, and then the connection.
pub(super) async fn end(place: Place, conn: Conn) {
    let _ = tokio::time::timeout(PATIENCE, kill(&place, "CONNECTION")).await;
    drop(conn);
}

/// Asks, and deals with the rows of the first result.
pub(super) async fn ask(
    conn: &mut Conn,
    sql: &[u8],
    deal: &mut impl FnMut(&RawRow<'_>) -> Result<()>,
) -> Result<Done, Trouble> {
    let mut result = conn.query_iter(sql).await?;
    while let Some(row) = result.next().await? {
        deal(&RawRow::new(&row)).map_err(Trouble::Ours)?;
    }
    let (affected, warnings) = (result.affected_rows(), result.warnings());
    let info = result.info().into_owned();
    result.drop_result().await?;
    let status = conn.last_ok_packet().map(|last| last.status_flags());
    let in_transaction = status.is_some_and(|status| status.contains(StatusFlags::SERVER_STATUS_IN_TRANS));
    Ok(Done { affected, warnings, in_transaction, info })
}

/// Waits for a statement; if the run is cancelled meanwhile, has the server end it, and waits for what it says then.
pub(super) async fn unless_cancelled<T>(
    cancel: &Option<Cancel>,
    place: &Place,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let Some(cancel) = cancel else { return work.await };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = cancel.cancelled() => {}
    }
    let _ = tokio::time::timeout(PATIENCE, kill(place, "QUERY")).await;
    let late = io::Error::new(io::ErrorKind::TimedOut, "the server goes on");
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Trouble::Lost(late)))
}

/// Whether a server that says so has ended the session.
fn ends_session(code: u16) -> bool {
    matches!(code, 1053 | 1152..=1161 | 1184 | 1927 | 3169 | 4031)
}
