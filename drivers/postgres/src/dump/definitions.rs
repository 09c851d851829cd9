//! The definitions, as `pg_dump` gives them as of the pinned snapshot.

use std::io::{self, Read};
use std::time::Duration;

use dumprestore_driver::{Error, Result};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::pin::Pinned;
use crate::client::PgDump;
use crate::config::Setup;
use crate::contents::{self, Definition};
use crate::quote;

const BUFFER: usize = 64 << 10;

/// For how long `pg_dump` may wait for a lock, if the configuration sets no limit. Who keeps it waiting waits for us:
/// to wait for ever would be just that.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// All of them, and the version of the `pg_dump` that wrote them.
pub(crate) async fn read(setup: &Setup, pinned: &Pinned) -> Result<(String, Vec<Definition>)> {
    let program = PgDump::find(setup, pinned.version).await?;
    let mut arguments: Vec<String> =
        ["--format=custom", "--schema-only", "--no-sync", "--compress=0", "--quote-all-identifiers"]
            .map(str::to_owned)
            .into();
    arguments.push(format!("--snapshot={}", pinned.snapshot));
    let wait = setup.lock_timeout.unwrap_or(LONGEST_WAIT).as_millis().max(1);
    arguments.push(format!("--lock-wait-timeout={wait}"));
    arguments.extend(exclusions(pinned).await?);
    let mut running = program.start(&pinned.target, &arguments)?;
    let (pieces, received) = mpsc::channel::<Vec<u8>>(4);
    let parsing = tokio::task::spawn_blocking(move || {
        contents::read(io::BufReader::new(Received { pieces: received, piece: Vec::new(), at: 0 }))
    });
    let output = running.output();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = output.read(&mut buffer).await;
        let read = read.map_err(|error| Error::io("can't read what `pg_dump` writes", error))?;
        // If the parser has stopped it has an error to tell.
        if read == 0 || pieces.send(buffer[..read].to_vec()).await.is_err() {
            break;
        }
    }
    drop(pieces);
    let parsed = parsing
        .await
        .map_err(|error| Error::defect("the reader of `pg_dump`'s output died").with_source(error))?;
    // What `pg_dump` says of its failure tells more than where its output breaks off.
    match parsed {
        Ok((_, entries)) => {
            running.finish().await?;
            Ok((program.version().to_owned(), contents::definitions(entries)))
        }
        Err(error) if error.kind() == dumprestore_driver::ErrorKind::Environment => {
            running.finish().await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// What is left out, and may not be read, `pg_dump` must not even try to lock. Everything else that is left out we
/// leave out ourselves: for we know what needs it.
async fn exclusions(pinned: &Pinned) -> Result<Vec<String>> {
    let out: Vec<u32> = pinned
        .relations
        .iter()
        .filter(|relation| relation.is_lockable() && pinned.chosen.omits(relation.oid))
        .map(|relation| relation.oid)
        .collect();
    if out.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "
        SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.oid = ANY ($1) AND NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT')
            AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'))";
    let main = pinned.main.lock().await;
    let rows = main.query(sql, &[&out]).await;
    let rows = rows.map_err(|error| main.fault(error, "can't look at privileges"))?;
    let unreadable = rows.iter().filter_map(|row| pinned.relation(row.get(0)));
    // Within quotes nothing in a name means anything in a pattern of `pg_dump`.
    let pattern = |schema: &str, name: &str| format!("--exclude-table={}", quote::qualified(schema, name));
    Ok(unreadable.map(|relation| pattern(&relation.schema, &relation.name)).collect())
}

/// What was received so far, as a reader that may block.
struct Received {
    pieces: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            let Some(piece) = self.pieces.blocking_recv() else { return Ok(0) };
            (self.piece, self.at) = (piece, 0);
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}
