//! One statement: sent, answered, and given up if the run is.

use std::io;

use dumprestore_driver::{Cancel, Error, Result};
use tokio::time::Instant;

use super::super::fault;
use super::super::open::{Entered, enter};
use super::super::row::RawRow;
use super::super::said::{Complaint, Done, MORE_RESULTS, Trouble, read_done};
use super::super::target::Target;
use super::super::wire::{Fields, LONGEST_PAYLOAD, broken};
use super::{COM_QUERY, PATIENCE, Session};

const QUERY_INTERRUPTED: u16 = 1317;

/// What begins the answer to a statement.
pub(super) enum Answer {
    Done(Done, u16),
    /// That many columns.
    Rows(usize),
    /// It wants that file.
    File(Vec<u8>),
}

impl Session {
    pub(super) async fn begin_statement(&mut self, sql: &[u8]) -> Result<Answer> {
        self.check_cancel()?;
        if self.is_gone() {
            return Err(Error::environment("the session has ended before")
                .with_context("database", &self.target)
                .with_hint("run it again"));
        }
        if sql.len() >= self.largest_message {
            return Err(Error::environment("a statement is longer than the server takes")
                .with_context("bytes", sql.len())
                .with_context("max_allowed_packet", self.largest_message)
                .with_hint("raise `max_allowed_packet` at the server"));
        }
        self.busy = true;
        self.ending = None;
        self.wire.begin();
        self.wire.write(&[COM_QUERY], sql).await.map_err(|error| self.lose(error, sql))?;
        self.wait(sql).await?;
        let answer = self.answer().map_err(|trouble| self.troubled(trouble, sql))?;
        if let Answer::Rows(columns) = answer {
            // What the columns are called is of no interest.
            for _ in 0..columns {
                self.wait(sql).await?;
            }
        }
        Ok(answer)
    }

    /// Reads the next message. While there is none, the run may be cancelled.
    pub(super) async fn wait(&mut self, sql: &[u8]) -> Result<()> {
        if self.wire.has_message() {
            return self.wire.read().await.map_err(|error| self.lose(error, sql));
        }
        if self.ending.is_none() {
            let cancelled = async {
                match &self.cancel {
                    Some(cancel) => cancel.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let read = tokio::select! {
                biased;
                read = self.wire.read() => Some(read),
                () = cancelled => None,
            };
            match read {
                Some(read) => return read.map_err(|error| self.lose(error, sql)),
                None => self.interrupt().await,
            }
        }
        let until = self.ending.unwrap_or_else(Instant::now);
        let late =
            || Err(io::Error::new(io::ErrorKind::TimedOut, "the server goes on with a cancelled statement"));
        let read = tokio::time::timeout_at(until, self.wire.read()).await.unwrap_or_else(|_| late());
        read.map_err(|error| self.lose(error, sql))
    }

    /// Has the server end what it is at. What it says then is still to be read.
    async fn interrupt(&mut self) {
        let _ = tokio::time::timeout(PATIENCE, Box::pin(stop(self.target.clone(), self.id))).await;
        self.ending = Some(Instant::now() + PATIENCE);
    }

    pub(super) fn answer(&self) -> Result<Answer, Trouble> {
        let message = self.wire.message();
        let mut fields = Fields(message);
        match message.first() {
            Some(0x00) => {
                fields.byte();
                let (done, status) = read_done(fields.0)?;
                Ok(Answer::Done(done, status))
            }
            Some(0xff) => Err(Trouble::Refused(Complaint::read(message)?)),
            Some(0xfb) => Ok(Answer::File(message.get(1..).unwrap_or_default().to_vec())),
            _ => {
                let columns = fields.number().and_then(|columns| usize::try_from(columns).ok());
                let columns = columns.filter(|columns| (1..=0xffff).contains(columns));
                Ok(Answer::Rows(columns.ok_or_else(|| broken("a server's answer can't be read"))?))
            }
        }
    }

    pub(super) async fn read_rows(
        &mut self,
        sql: &[u8],
        columns: usize,
        deal: &mut impl FnMut(&RawRow<'_>) -> Result<()>,
    ) -> Result<(Done, u16)> {
        loop {
            self.wait(sql).await?;
            let message = self.wire.message();
            match message.first() {
                Some(0xff) => {
                    let trouble = Complaint::read(message).map_or_else(Trouble::Lost, Trouble::Refused);
                    return Err(self.troubled(trouble, sql));
                }
                Some(0xfe) if message.len() < LONGEST_PAYLOAD => {
                    let mut fields = Fields(message);
                    fields.byte();
                    return read_done(fields.0).map_err(|error| self.lose(error, sql));
                }
                _ => {}
            }
            if self.ending.is_none() && self.check_cancel().is_err() {
                self.interrupt().await;
            }
            if self.ending.is_some() {
                continue;
            }
            let mut values = std::mem::take(&mut self.values);
            let dealt = RawRow::read(self.wire.message(), columns, &mut values).map(|row| deal(&row));
            self.values = values;
            dealt.map_err(|error| self.lose(error, sql))??;
        }
    }

    /// A result is at its end; there may be more of them.
    pub(super) async fn finish(&mut self, sql: &[u8], done: Done, status: u16) -> Result<Done> {
        let mut status = status;
        while status & MORE_RESULTS != 0 {
            self.wait(sql).await?;
            let answer = self.answer().map_err(|trouble| self.troubled(trouble, sql))?;
            status = match answer {
                Answer::Done(_, status) => status,
                Answer::Rows(columns) => {
                    for _ in 0..columns {
                        self.wait(sql).await?;
                    }
                    self.read_rows(sql, columns, &mut |_| Ok(())).await?.1
                }
                Answer::File(_) => {
                    return Err(self.lose(broken("a server asked for a file of ours, unbidden"), sql));
                }
            };
        }
        self.busy = false;
        Ok(done)
    }

    pub(super) fn check_cancel(&self) -> Result<()> {
        self.cancel.as_ref().map_or(Ok(()), Cancel::check)
    }

    /// Cuts the connection off: the server is to undo what is under way, and to hold no lock any more.
    pub(super) fn cut(&mut self) {
        self.gone = true;
        self.wire.cut();
    }

    pub(super) fn lose(&mut self, error: io::Error, sql: &[u8]) -> Error {
        self.cut();
        match self.check_cancel() {
            Err(cancelled) => cancelled,
            Ok(()) => fault::of_statement(Trouble::Lost(error), sql, &self.target),
        }
    }

    pub(super) fn troubled(&mut self, trouble: Trouble, sql: &[u8]) -> Error {
        match trouble {
            Trouble::Lost(error) => self.lose(error, sql),
            Trouble::Refused(said) => {
                self.busy = false;
                self.gone |= ends_session(said.code);
                match self.check_cancel() {
                    Err(cancelled) if said.code == QUERY_INTERRUPTED => cancelled,
                    _ => fault::of_statement(Trouble::Refused(said), sql, &self.target),
                }
            }
        }
    }
}

/// Whether a server that says so has ended the session.
fn ends_session(code: u16) -> bool {
    matches!(code, 1053 | 1152..=1161 | 1184 | 1927 | 3169 | 4031)
}

/// Has a server end the statement of another session, by a session of its own.
async fn stop(target: Target, id: u64) -> Result<()> {
    let Entered { mut wire, .. } = enter(&target, None, "cancel").await?;
    wire.begin();
    let sql = format!("KILL QUERY {id}");
    let sent = wire.write(&[COM_QUERY], sql.as_bytes()).await;
    if sent.is_ok() {
        let _ = wire.read().await;
    }
    wire.shut_down().await;
    Ok(())
}
