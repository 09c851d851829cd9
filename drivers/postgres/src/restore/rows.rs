//! Rows, copied in.

use std::io::Read;
use std::pin::pin;

use bytes::Bytes;
use dumprestore_driver::{ArchivedPart, Cancel, Error, ErrorKind, PartReader, Result};
use futures_util::SinkExt;

use crate::archived::Table;
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// How much is sent as one message: with small ones, more time goes into messages than into rows.
const CHUNK: usize = 256 * 1024;

/// From this size on it pays to load a table in the transaction that truncates it: rows are then written as old ones,
/// which nothing has to visit again. Below, the truncation costs more.
const WORTH_FREEZING: u64 = 4 << 20;

/// Loads a part of a table.
pub(crate) async fn load(
    session: &Connection,
    table: &Table,
    part: &ArchivedPart,
    from: &mut PartReader<'_>,
    cancel: &Cancel,
) -> Result<()> {
    let frozen = may_freeze(table) && part.size >= WORTH_FREEZING;
    let failed = |error| session.fault(error, "can't load rows").with_context("table", called(table));
    if frozen {
        let name = quote::qualified(&table.schema, &table.name);
        session.batch_execute(&format!("BEGIN; TRUNCATE ONLY {name}")).await.map_err(failed)?;
    }
    copy_part(session, table, &statement(table, frozen), part, from, cancel).await?;
    if frozen {
        session.batch_execute("COMMIT").await.map_err(failed)?;
    }
    Ok(())
}

/// Loads a part of a table in a transaction that is open, and in which the table was made, unless it is to be loaded
/// through another.
pub(crate) async fn load_within(
    session: &Connection,
    table: &Table,
    part: &ArchivedPart,
    from: &mut PartReader<'_>,
    cancel: &Cancel,
) -> Result<()> {
    let frozen = table.load_through.is_none() && !table.of_extension;
    copy_part(session, table, &statement(table, frozen), part, from, cancel).await
}

async fn copy_part(
    session: &Connection,
    table: &Table,
    statement: &str,
    part: &ArchivedPart,
    from: &mut PartReader<'_>,
    cancel: &Cancel,
) -> Result<()> {
    let rows = copy_in(session, statement, from, cancel)
        .await
        .map_err(|error| of_copy(error).with_context("table", called(table)))?;
    match part.rows {
        Some(expected) if expected != rows => {
            Err(Error::archive(format!("a part has {rows} rows, and not {expected}"))
                .with_context("part", &part.name))
        }
        _ => Ok(()),
    }
}

/// Whether nobody else loads into the table, and it holds nothing that must stay.
fn may_freeze(table: &Table) -> bool {
    table.parts.len() == 1 && table.load_through.is_none() && !table.of_extension
}

fn called(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

/// The statement that loads rows of a table. Frozen rows only go into a table that was made or truncated in the same
/// transaction.
pub(crate) fn statement(table: &Table, frozen: bool) -> String {
    let into = match &table.load_through {
        Some((schema, name)) => quote::qualified(schema, name),
        None => quote::qualified(&table.schema, &table.name),
    };
    let columns: Vec<String> = table.columns.iter().map(|column| quote::name(column)).collect();
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let encoding = table.encoding.as_ref().map(|encoding| format!("ENCODING {}", quote::literal(encoding)));
    let options: Vec<String> = frozen.then(|| "FREEZE".to_owned()).into_iter().chain(encoding).collect();
    let options = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
    format!("COPY {into}{columns} FROM STDIN{options}")
}

async fn copy_in(
    session: &Connection,
    statement: &str,
    from: &mut PartReader<'_>,
    cancel: &Cancel,
) -> Result<u64> {
    let failed = |error| session.fault(error, "can't load rows");
    let sink = session.copy_in::<_, Bytes>(statement).await.map_err(failed)?;
    let mut sink = pin!(sink);
    loop {
        cancel.check()?;
        let mut chunk = Vec::with_capacity(CHUNK);
        from.take(CHUNK as u64)
            .read_to_end(&mut chunk)
            .map_err(|error| Error::io("can't read rows from the archive", error))?;
        if chunk.is_empty() {
            break;
        }
        if sink.feed(Bytes::from(chunk)).await.is_err() {
            // What the server has said to it is the answer to the end.
            break;
        }
    }
    sink.as_mut().finish().await.map_err(failed)
}

/// Values that a type does not take are the archive's fault, or that of an older server; all else is the server's.
fn of_copy(error: Error) -> Error {
    match sqlstate(&error) {
        Some(code) if code.starts_with("22") => error.with_kind(ErrorKind::Archive).with_hint(
            "the server does not take a value that was dumped: is it older, or are its extensions others?",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            schema: "s".to_owned(),
            name: "a \"b".to_owned(),
            columns: vec!["x".to_owned(), "Y".to_owned()],
            load_through: None,
            encoding: None,
            without_data: false,
            of_extension: false,
            bytes: 0,
            parts: vec!["p".to_owned()],
        }
    }

    #[test]
    fn columns_are_named_and_partitions_may_be_loaded_through_their_root() {
        assert_eq!(statement(&table(), false), r#"COPY "s"."a ""b" ("x", "Y") FROM STDIN"#);
        let through = Table { load_through: Some(("s".to_owned(), "root".to_owned())), ..table() };
        assert_eq!(statement(&through, false), r#"COPY "s"."root" ("x", "Y") FROM STDIN"#);
        let none = Table { columns: Vec::new(), ..table() };
        assert_eq!(statement(&none, true), r#"COPY "s"."a ""b" FROM STDIN WITH (FREEZE)"#);
        let raw = Table { encoding: Some("SQL_ASCII".to_owned()), ..none };
        assert_eq!(
            statement(&raw, true),
            r#"COPY "s"."a ""b" FROM STDIN WITH (FREEZE, ENCODING 'SQL_ASCII')"#
        );
    }

    #[test]
    fn only_what_is_loaded_alone_and_whole_is_frozen() {
        assert!(may_freeze(&table()));
        assert!(!may_freeze(&Table { parts: vec!["p".to_owned(), "q".to_owned()], ..table() }));
        assert!(!may_freeze(&Table { of_extension: true, ..table() }));
        assert!(!may_freeze(&Table { load_through: Some(("s".to_owned(), "r".to_owned())), ..table() }));
    }
}
