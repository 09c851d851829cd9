//! Rows, from the server into a part.

use std::io::Write;

use dumprestore_driver::{Error, ErrorKind, PartWriter, Result};

use super::piece::Piece;
use super::pin::Pinned;
use crate::archived::{write_field, write_null};
use crate::connect::{RawRow, code};

/// What is handed on is of this size, or a little more, but for the last.
const HANDED_ON: usize = 256 << 10;
/// A value that is longer is escaped in pieces of that size.
const SLICE: usize = 64 << 10;

/// Reads the rows of `piece` into `out`, and counts them.
pub(super) async fn dump(pinned: &Pinned, piece: &Piece, out: &mut PartWriter<'_>) -> Result<u64> {
    let mut lane = pinned.lanes.take().await?;
    let session = lane.session()?;
    let columns = piece.reading.columns.len();
    let mut rows = 0_u64;
    let mut writing = Writing { gathered: Vec::with_capacity(HANDED_ON + SLICE), out };
    let done = session
        .each(piece.sql(), |row| {
            if row.len() < columns {
                return Err(Error::defect("a server answered with fewer columns than it was asked for"));
            }
            rows += 1;
            writing.row(row)
        })
        .await;
    let done = done.map_err(|error| told(error, &piece.table))?;
    // A value that could not be compared is one that is in no part.
    if done.warnings > 0 {
        return Err(Error::environment("the server gave warnings while rows were read: some may be missing")
            .with_context("table", piece.table.escape_debug())
            .with_context("warnings", done.warnings)
            .with_hint("run the query of all rows by hand, followed by `SHOW WARNINGS`"));
    }
    writing.hand_on()?;
    if let Some(hold) = pinned.hold.as_ref().filter(|_| piece.held) {
        hold.check().await?;
        hold.done().await;
    }
    Ok(rows)
}

/// Gathers rows until they are worth handing on.
struct Writing<'a, 'b> {
    gathered: Vec<u8>,
    out: &'a mut PartWriter<'b>,
}

impl Writing<'_, '_> {
    fn row(&mut self, row: &RawRow<'_>) -> Result<()> {
        let mut first = true;
        for value in row.values() {
            if !first {
                self.gathered.push(b'\t');
            }
            first = false;
            match value {
                Some(value) if value.len() <= SLICE => write_field(&mut self.gathered, value),
                Some(value) => self.long(value)?,
                None => write_null(&mut self.gathered),
            }
        }
        self.gathered.push(b'\n');
        if self.gathered.len() >= HANDED_ON { self.hand_on() } else { Ok(()) }
    }

    fn long(&mut self, value: &[u8]) -> Result<()> {
        for slice in value.chunks(SLICE) {
            write_field(&mut self.gathered, slice);
            if self.gathered.len() >= HANDED_ON {
                self.hand_on()?;
            }
        }
        Ok(())
    }

    fn hand_on(&mut self) -> Result<()> {
        self.out.write_all(&self.gathered).map_err(|error| Error::io("can't write a part", error))?;
        self.gathered.clear();
        Ok(())
    }
}

/// What an error of the server while rows are read comes from, mostly.
fn told(error: Error, table: &str) -> Error {
    let error = error.with_context("table", table.escape_debug());
    match code(&error) {
        Some(1412) => {
            error.with_hint("the table was changed in a way that the cut could not keep off: run it again")
        }
        Some(1030 | 1034 | 1035 | 1194 | 1195 | 126 | 127 | 145) => error.with_hint(
            "the table is damaged: `CHECK TABLE`, see the server's log, and think of the last good dump",
        ),
        Some(1969 | 3024) => error.with_hint("raise `statement_timeout`, or set it to 0"),
        None if error.kind() == ErrorKind::Environment && error.hint().is_none() => {
            error.with_hint("the server was stopped, or ended the session, or the network did: run it again")
        }
        _ => error,
    }
}
