//! The definitions, as `pg_dump` gives them as of the pinned snapshot.

use std::io;
use std::path::Path;

use dumprestore_driver::{Error, ErrorKind, LedgerEntry, Result};
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::sync::mpsc;

use super::pin::Pinned;
use super::relay::Relay;
use crate::client::PgDump;
use crate::config::Setup;
use crate::connect::Connection;
use crate::contents::{self, Definition, Entry};
use crate::quote;

const BUFFER: usize = 64 << 10;

/// The definitions, and who wrote them.
pub(crate) struct Defined {
    /// The version of `pg_dump`.
    pub(crate) pg_dump: String,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) notes: Vec<LedgerEntry>,
}

/// All of them.
pub(crate) async fn read(setup: &Setup, pinned: &Pinned) -> Result<Defined> {
    let program = PgDump::find(setup, pinned.version).await?;
    let session = pinned.main.lock().await;
    let mut arguments: Vec<String> =
        ["--format=custom", "--schema-only", "--no-sync", "--compress=0", "--quote-all-identifiers"]
            .map(str::to_owned)
            .into();
    arguments.extend(exclusions(pinned, &session).await?);
    let (entries, warnings) = run(&program, &arguments, &session, &pinned.scratch).await?;
    let settings =
        format!("SET quote_all_identifiers = off; {}{}", session.local_basics(), pinned.patience.sql());
    session
        .batch_execute(&settings)
        .await
        .map_err(|error| session.fault(error, "can't set the pinned session as it was"))?;
    Ok(Defined {
        pg_dump: program.version().to_owned(),
        definitions: contents::definitions(entries),
        notes: warnings.iter().filter_map(|warning| told(warning)).collect(),
    })
}

/// Subscriptions that it passes over are counted by ourselves. That things need each other says nothing of what is
/// there; anything else may mean that something is not.
fn told(warning: &str) -> Option<LedgerEntry> {
    match warning {
        _ if warning.contains("subscriptions not dumped") => None,
        _ if warning.contains("dependency loop") => Some(LedgerEntry::note("`pg_dump` warns", warning)),
        _ => Some(LedgerEntry::degrading("`pg_dump` warns", warning)),
    }
}

/// What is there, and what `pg_dump` warned of.
type Read = (Vec<Entry>, Vec<String>);

async fn run(program: &PgDump, arguments: &[String], session: &Connection, scratch: &Path) -> Result<Read> {
    let relay = Relay::listen(scratch)?;
    let mut running = program.start(&relay.target()?, arguments)?;
    let mut serving = std::pin::pin!(relay.serve(session));
    let parsed = {
        let mut parsing = std::pin::pin!(parse(running.output()));
        tokio::select! {
            // While it is served it writes nothing yet; and if serving fails, that is why it fails.
            served = &mut serving => {
                served?;
                parsing.await
            }
            parsed = &mut parsing => parsed,
        }
    };
    match parsed {
        Ok(entries) => Ok((entries, running.finish().await?)),
        // What `pg_dump` says of its failure tells more than where its output breaks off.
        Err(error) if error.kind() == ErrorKind::Environment => {
            running.finish().await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Parses what comes, on a thread of its own.
async fn parse(output: &mut ChildStdout) -> Result<Vec<Entry>> {
    let (pieces, received) = mpsc::channel::<Vec<u8>>(4);
    let parsing = tokio::task::spawn_blocking(move || {
        contents::read(io::BufReader::new(Received { pieces: received, piece: Vec::new(), at: 0 }))
    });
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = output.read(&mut buffer).await;
        let read = read.map_err(|error| Error::io("can't read what `pg_dump` writes", error))?;
        if read == 0 {
            break;
        }
        // If the parser has stopped it has an error to tell, or all it needs: the rest is read for `pg_dump` to end.
        let _ = pieces.send(buffer[..read].to_vec()).await;
    }
    drop(pieces);
    let parsed = parsing.await;
    let parsed =
        parsed.map_err(|error| Error::defect("the reader of `pg_dump`'s output died").with_source(error))?;
    parsed.map(|(_, entries)| entries)
}

/// What is left out, and may not be read, `pg_dump` must not even try to lock. Everything else that is left out we
/// leave out ourselves: for we know what needs it.
async fn exclusions(pinned: &Pinned, main: &Connection) -> Result<Vec<String>> {
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

impl io::Read for Received {
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
