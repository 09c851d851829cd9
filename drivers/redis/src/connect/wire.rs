//! A connection as it is: bytes out, answers and bytes in.

use std::io::{self, BufRead, Read, Write};
use std::time::Instant;

use dumprestore_driver::{Cancel, Error, Result};

use super::reply::{Reply, read_line, read_reply};
use super::stream::Stream;
use super::target::Target;
use super::{fault, open};

/// As much as is read ahead, and as much as commands may take before they are sent.
const BUFFER: usize = 64 * 1024;

/// A connection that is logged in, for one thread. Reading and writing wait for as long as it takes, but no longer than
/// the run goes on.
///
/// As a [`Read`] and [`BufRead`] it gives what the server sends, as it comes. As a [`Write`] it collects what is written
/// until [`flush`](Write::flush), or until something is read. I/O errors of a run that was stopped hold ours
/// ([`Error::io`] takes it out).
pub(crate) struct Wire {
    stream: Stream,
    /// Read ahead: what came is in it up to `filled`, and was handed out up to `taken`.
    input: Vec<u8>,
    filled: usize,
    taken: usize,
    output: Vec<u8>,
    /// Until when it must be let in.
    deadline: Option<Instant>,
    is_in: bool,
    cancel: Cancel,
    target: Target,
}

impl Wire {
    /// Connects and logs in; enters the database of the target.
    ///
    /// # Errors
    /// If the server can't be reached, or lets nobody in.
    pub(crate) fn open(target: &Target, cancel: &Cancel) -> Result<Self> {
        open::enter(target, cancel)
    }

    pub(super) fn over(stream: Stream, target: Target, deadline: Option<Instant>, cancel: Cancel) -> Self {
        Self {
            stream,
            input: vec![0; BUFFER],
            filled: 0,
            taken: 0,
            output: Vec::new(),
            deadline,
            is_in: false,
            cancel,
            target,
        }
    }

    /// Where it leads: of sentinels, the server that they named.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn is_in(&mut self) {
        self.deadline = None;
        self.is_in = true;
    }

    /// Sends a command, with others to come: it may wait until an answer is asked for, or for [`flush`](Write::flush).
    ///
    /// # Errors
    /// If the connection is lost, or the run is to stop.
    pub(crate) fn command(&mut self, parts: &[&[u8]]) -> Result<()> {
        self.write_command(parts).map_err(|error| self.lost(error))
    }

    fn write_command(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        write!(self, "*{}\r\n", parts.len())?;
        for part in parts {
            write!(self, "${}\r\n", part.len())?;
            self.write_all(part)?;
            self.write_all(b"\r\n")?;
        }
        Ok(())
    }

    /// Waits for the next answer. A refusal is an answer, too.
    ///
    /// # Errors
    /// If the connection is lost, what answers is no Redis, or the run is to stop.
    pub(crate) fn reply(&mut self) -> Result<Reply> {
        read_reply(self).map_err(|error| self.lost(error))
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// As of [`reply`](Self::reply); a refusal is an error here.
    pub(crate) fn ask(&mut self, parts: &[&[u8]]) -> Result<Reply> {
        self.command(parts)?;
        match self.reply()? {
            Reply::Error(text) => Err(fault::of_command(&text, &fault::name_of(parts), &self.target)),
            reply => Ok(reply),
        }
    }

    /// What a refusal means that came as an answer to `command`, the name of one.
    pub(crate) fn refused(&self, text: &str, command: &str) -> Error {
        fault::of_command(text, command, &self.target)
    }

    /// Reads a line, without its end: the head of an answer that is to be read as it comes.
    ///
    /// # Errors
    /// As of [`reply`](Self::reply).
    pub(crate) fn line(&mut self) -> Result<Vec<u8>> {
        read_line(self).map_err(|error| self.lost(error))
    }

    /// The connection failed.
    pub(crate) fn lost(&self, error: io::Error) -> Error {
        match self.is_in {
            true => fault::of_connection(error, "the connection to the server was lost", &self.target),
            false => fault::of_entering(error, &self.target),
        }
    }

    /// What to do after an attempt that had to wait.
    fn may_wait(&self) -> io::Result<()> {
        self.cancel.check()?;
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    fn receive(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buf) {
                Err(error) if has_to_wait(&error) => self.may_wait()?,
                result => return result,
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if has_to_wait(&error) => self.may_wait()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_output(&mut self) -> io::Result<()> {
        let output = std::mem::take(&mut self.output);
        let sent = self.send(&output);
        self.output = output;
        self.output.clear();
        sent
    }
}

fn has_to_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.filled && buf.len() >= BUFFER {
            self.flush()?;
            return self.receive(buf);
        }
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Wire {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.filled {
            self.flush()?;
            (self.filled, self.taken) = (0, 0);
            let mut input = std::mem::take(&mut self.input);
            let received = self.receive(&mut input);
            self.input = input;
            self.filled = received?;
        }
        Ok(self.input.get(self.taken..self.filled).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.taken = (self.taken + amount).min(self.filled);
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.output.len() + buf.len() > BUFFER {
            self.send_output()?;
        }
        match buf.len() >= BUFFER {
            true => self.send(buf)?,
            false => self.output.extend_from_slice(buf),
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.send_output()?;
        }
        loop {
            match self.stream.flush() {
                Err(error) if has_to_wait(&error) => self.may_wait()?,
                result => return result,
            }
        }
    }
}
