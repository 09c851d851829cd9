//! `LOAD DATA LOCAL INFILE` from a stream.

use std::io;

use bytes::Bytes;
use dumprestore_driver::{Cancel, Error, Result};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc::Sender;

use super::super::row::RawRow;
use super::super::said::{Done, Trouble};
use super::Session;
use super::statement::{ask, unless_cancelled};

/// No server takes less in one message of `LOAD DATA LOCAL`.
const CHUNK: usize = 64 * 1024;

impl Session {
    /// Runs a `LOAD DATA LOCAL INFILE` whose file, of the name `file`, is what `stream` gives.
    ///
    /// If the stream fails, the session is ended at the server before it can take what came before for the whole; it
    /// undoes it where the table's engine can.
    ///
    /// # Errors
    /// As [`run`](Self::run); that of the stream; if the server asks for a file of another name, or for none.
    pub(crate) async fn load_local<S>(&mut self, sql: impl AsRef<[u8]>, file: &str, stream: S) -> Result<Done>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let sql = sql.as_ref();
        self.check(sql)?;
        let cancel = self.cancel.clone();
        let place = self.place();
        let Some(conn) = &mut self.conn else { return Err(self.ended()) };
        self.busy = true;
        let pieces = self.offers.offer(file);
        // The end of the pieces is the end of the file: where there must be none, they outlive the session.
        let mut endless = None;
        let ended = {
            let mut passed_over = |_: &RawRow<'_>| Ok(());
            let mut asking = std::pin::pin!(ask(conn, sql, &mut passed_over));
            let mut feeding = std::pin::pin!(feed(stream, pieces, cancel.clone()));
            let mut fed = false;
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut feeding, if !fed => match outcome {
                        Ok(()) => fed = true,
                        Err((error, pieces)) => {
                            endless = Some(pieces);
                            break Err(Trouble::Ours(error));
                        }
                    },
                    ended = unless_cancelled(&cancel, &place, &mut asking) => break ended,
                }
            }
        };
        let ended = match ended {
            Ok(_) if !self.offers.take_back() => {
                Err(Trouble::Lost(io::Error::other("a server did not ask for the data that it was offered")))
            }
            ended => ended,
        };
        let done = self.conclude(ended, sql).await;
        drop(endless);
        done
    }
}

/// Hands a stream over, piece by piece. If it fails, the way for the pieces is given back, open.
async fn feed(
    stream: impl Stream<Item = Result<Bytes>>,
    pieces: Sender<Bytes>,
    cancel: Option<Cancel>,
) -> Result<(), (Error, Sender<Bytes>)> {
    let mut stream = std::pin::pin!(stream);
    let check = || cancel.as_ref().map_or(Ok(()), Cancel::check);
    while let Some(bytes) = stream.next().await {
        let mut bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return Err((error, pieces)),
        };
        while !bytes.is_empty() {
            if let Err(cancelled) = check() {
                return Err((cancelled, pieces));
            }
            let piece = bytes.split_to(bytes.len().min(CHUNK));
            if pieces.send(piece).await.is_err() {
                // The server wants no more of it, and will say why.
                return Ok(());
            }
        }
    }
    check().map_err(|cancelled| (cancelled, pieces))
}
