//! `LOAD DATA LOCAL`, from a stream.

use bytes::Bytes;
use dumprestore_driver::Result;
use futures_util::{Stream, StreamExt};

use super::super::said::Done;
use super::super::wire::broken;
use super::Session;
use super::statement::Answer;

/// No server takes less in one message of `LOAD DATA LOCAL`.
const CHUNK: usize = 64 * 1024;

impl Session {
    /// Runs a `LOAD DATA LOCAL INFILE` whose file, of the name `file`, is what `stream` gives.
    ///
    /// A stream that fails, or is not read to its end, cuts the connection off: the server does not take what came before
    /// for the whole, and undoes it where the table's engine can.
    ///
    /// # Errors
    /// As [`run`](Self::run); that of the stream; if the server asks for a file of another name, or for none.
    pub(crate) async fn load_local<S>(&mut self, sql: impl AsRef<[u8]>, file: &str, stream: S) -> Result<Done>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let sql = sql.as_ref();
        match self.begin_statement(sql).await? {
            Answer::File(name) if name == file.as_bytes() => {}
            Answer::File(_) => {
                return Err(self.lose(broken("a server asked for another file than it was offered"), sql));
            }
            Answer::Done(..) | Answer::Rows(_) => {
                return Err(self.lose(broken("a server did not ask for the data that it was offered"), sql));
            }
        }
        let mut stream = std::pin::pin!(stream);
        while let Some(bytes) = stream.next().await {
            // Without its end, what was sent is no file: the connection is dropped.
            let bytes =
                bytes.and_then(|bytes| self.check_cancel().map(|()| bytes)).inspect_err(|_| self.cut())?;
            for chunk in bytes.chunks(CHUNK) {
                self.wire.write(chunk, &[]).await.map_err(|error| self.lose(error, sql))?;
            }
        }
        self.check_cancel().inspect_err(|_| self.cut())?;
        self.wire.write(&[], &[]).await.map_err(|error| self.lose(error, sql))?;
        self.wait(sql).await?;
        match self.answer() {
            Ok(Answer::Done(done, status)) => self.finish(sql, done, status).await,
            Ok(_) => Err(self.lose(broken("a server's answer can't be read"), sql)),
            Err(trouble) => Err(self.troubled(trouble, sql)),
        }
    }
}
