//! Rows, loaded: by `LOAD DATA LOCAL`, or where the server does not let us, by `INSERT`.

use std::io::Read;

use bytes::Bytes;
use dumprestore_driver::{ArchivedPart, Cancel, Content, Error, PartReader, Result};

use crate::archived::{Form, KNOW_NO_END, NO_END_HERE, RowReader, Table, is_no_end, with_own_end};
use crate::connect::{Done, Session, code, without_values};
use crate::quote;

/// How much is read from the archive at once.
const CHUNK: usize = 256 * 1024;
/// About how long an `INSERT` gets, in bytes. A row that is longer has one of its own.
const STATEMENT: usize = 1 << 20;
/// As many warnings may one give at most: a server keeps that many of a statement, whatever we may set.
const MOST_WARNINGS: usize = 1000;
/// What the server calls the file that it asks for.
const FILE: &str = "dumprestore";

const NO_LOCAL_FILES: [u16; 5] = [1148, 2068, 3948, 3950, 4166];
const DATA_TRUNCATED: &str = "1265";

/// How rows get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `LOAD DATA LOCAL`: more than twice as quick.
    Load,
    /// `INSERT`: every server takes it.
    Insert,
}

impl Way {
    /// The one that the server allows.
    pub(crate) async fn of(session: &mut Session) -> Result<Self> {
        let rows = session.rows("SELECT @@local_infile").await?;
        Ok(match rows.first().and_then(|row| row.bytes(0)) {
            Some(b"1") => Self::Load,
            _ => Self::Insert,
        })
    }
}

/// Loads a part of a table.
pub(crate) async fn load(
    session: &mut Session,
    way: Way,
    table: &Table,
    part: &ArchivedPart,
    from: &mut PartReader<'_>,
    cancel: &Cancel,
    content: Content,
) -> Result<()> {
    let named = |error: Error| error.with_context("table", table.name.escape_debug());
    let mut checks = Checks { table, is_strict: content == Content::DataOnly };
    let end = table.end_of_validity().map_err(named)?;
    if end.is_some() {
        session.run(KNOW_NO_END).await?;
    }
    let rows = match way {
        Way::Load => load_local(session, table, end, from, cancel, &mut checks).await,
        Way::Insert => insert(session, table, end, from, cancel, &mut checks).await,
    };
    let rows = rows.map_err(named)?;
    match part.rows {
        Some(expected) if expected != rows => {
            Err(named(Error::archive(format!("a part has {expected} rows, of which the server took {rows}")))
                .with_context("part", &part.name)
                .with_hint(
                    "are rows there twice for its unique keys? a server of other collations may think so",
                ))
        }
        _ => Ok(()),
    }
}

async fn load_local(
    session: &mut Session,
    table: &Table,
    end: Option<usize>,
    from: &mut PartReader<'_>,
    cancel: &Cancel,
    checks: &mut Checks<'_>,
) -> Result<u64> {
    let stream = futures_util::stream::unfold((from, false), |(from, over)| async move {
        if over {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = cancel.check().and_then(|()| {
            (&mut *from)
                .take(CHUNK as u64)
                .read_to_end(&mut chunk)
                .map_err(|error| Error::io("can't read rows from the archive", error))
        });
        match read {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(chunk)), (from, false))),
            Err(error) => Some((Err(error), (from, true))),
        }
    });
    let done = session.load_local(load_statement(table, end), FILE, stream).await.map_err(|error| {
        match code(&error) {
            Some(code) if NO_LOCAL_FILES.contains(&code) => error.with_hint(
                "set `local_infile = ON` at the server; where it is off from the beginning, rows are inserted instead",
            ),
            _ => error,
        }
    })?;
    checks.look(session, &done).await?;
    Ok(done.affected)
}

/// The statement that loads rows of a table. `end`: the column that says until when a row was valid.
fn load_statement(table: &Table, end: Option<usize>) -> String {
    let (mut columns, mut set) = (Vec::new(), Vec::new());
    for (at, column) in table.columns.iter().enumerate() {
        let (name, variable) = (quote::name(&column.name), format!("@v{at}"));
        match column.form {
            Form::Bytes if end != Some(at) => {
                columns.push(name);
                continue;
            }
            Form::Bytes => set.push(format!("{name} = {}", with_own_end(&variable))),
            Form::Text => set.push(format!("{name} = CONVERT({variable} USING utf8mb4)")),
        }
        columns.push(variable);
    }
    if columns.is_empty() {
        // Without any name, the line would be for generated columns.
        columns.push("@v".to_owned());
    }
    let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE {} INTO TABLE {} CHARACTER SET binary FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' \
         LINES TERMINATED BY '\\n' ({}){set}",
        quote::literal(FILE),
        quote::name(&table.name),
        columns.join(", ")
    )
}

/// In the modes that `LOAD DATA LOCAL` has: what does not fit is a warning, which we look at.
const INSERT_MODE: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

async fn insert(
    session: &mut Session,
    table: &Table,
    end: Option<usize>,
    from: &mut PartReader<'_>,
    cancel: &Cancel,
    checks: &mut Checks<'_>,
) -> Result<u64> {
    session.sql_mode(INSERT_MODE).await?;
    session.run("START TRANSACTION").await?;
    let columns: Vec<String> = table.columns.iter().map(|column| quote::name(&column.name)).collect();
    let head =
        format!("INSERT INTO {} ({}) VALUES ", quote::name(&table.name), columns.join(", ")).into_bytes();
    let most = session.largest_message();
    // Each value of an `ENUM` that is none of its members gives one.
    let most_rows = MOST_WARNINGS / enum_columns(session, &table.name).await?.len().max(1);
    let mut statement = head.clone();
    let mut row = Vec::new();
    let (mut inserted, mut rows) = (0, 0);
    let mut reader = RowReader::new(from);
    while reader.advance()? {
        cancel.check()?;
        row.clear();
        write_row(&mut row, table, end, reader.fields())?;
        let has_rows = statement.len() > head.len();
        if has_rows && (rows == most_rows.max(1) || statement.len() + row.len() + 1 >= STATEMENT.min(most)) {
            inserted += run(session, &statement, checks).await?;
            statement.truncate(head.len());
            rows = 0;
        }
        rows += 1;
        if statement.len() > head.len() {
            statement.push(b',');
        }
        statement.extend_from_slice(&row);
        if statement.len() >= most {
            return Err(too_long(statement.len(), most));
        }
    }
    if statement.len() > head.len() {
        inserted += run(session, &statement, checks).await?;
    }
    session.run("COMMIT").await?;
    session.own_sql_mode().await?;
    Ok(inserted)
}

async fn run(session: &mut Session, statement: &[u8], checks: &mut Checks<'_>) -> Result<u64> {
    let done = session.run(statement).await?;
    checks.look(session, &done).await?;
    Ok(done.affected)
}

fn too_long(bytes: usize, most: usize) -> Error {
    Error::environment("a row is longer than the server takes in one statement")
        .with_context("bytes", bytes)
        .with_context("max_allowed_packet", most)
        .with_hint(
            "set `local_infile = ON` at the server, which has no such limit, or raise `max_allowed_packet`",
        )
}

fn write_row<'a>(
    out: &mut Vec<u8>,
    table: &Table,
    end: Option<usize>,
    fields: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
) -> Result<()> {
    // A row without any value is an empty line.
    let is_empty = table.columns.is_empty() && fields.len() == 1;
    if fields.len() != table.columns.len() && !is_empty {
        return Err(Error::archive(format!(
            "a row has {} fields, and its table {} columns",
            fields.len(),
            table.columns.len()
        )));
    }
    out.push(b'(');
    for (at, (field, column)) in fields.zip(&table.columns).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let Some(field) = field else {
            out.extend_from_slice(b"NULL");
            continue;
        };
        if end == Some(at) && is_no_end(field) {
            out.extend_from_slice(NO_END_HERE.as_bytes());
            continue;
        }
        let (before, after): (&[u8], &[u8]) = match column.form {
            Form::Bytes => (b"_binary'", b"'"),
            Form::Text => (b"CONVERT(_binary'", b"' USING utf8mb4)"),
        };
        out.extend_from_slice(before);
        write_escaped(out, field);
        out.extend_from_slice(after);
    }
    out.push(b')');
    Ok(())
}

fn write_escaped(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\'' | 0)) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        if let Some((byte, after)) = from.split_first() {
            out.extend_from_slice(&[b'\\', if *byte == 0 { b'0' } else { *byte }]);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
}

/// What a server says of rows that it has not taken as they were.
struct Checks<'a> {
    table: &'a Table,
    /// Whether the columns need not be those that were dumped: then what a server only notes, such as that it has rounded
    /// a number, is too much.
    is_strict: bool,
}

impl Checks<'_> {
    /// Refuses every warning but those that are known to mean nothing.
    async fn look(&mut self, session: &mut Session, done: &Done) -> Result<()> {
        if done.warnings == 0 {
            return Ok(());
        }
        let warnings = session.rows("SHOW WARNINGS").await?;
        let mut enums = None;
        for warning in &warnings {
            let (level, number, message) =
                (warning.text(0)?, warning.text(1)?, warning.bytes(2).unwrap_or_default());
            let message = String::from_utf8_lossy(message);
            if level == "Note" && !self.is_strict {
                continue;
            }
            if number == DATA_TRUNCATED {
                let enums = match &enums {
                    Some(enums) => enums,
                    None => enums.insert(enum_columns(session, &self.table.name).await?),
                };
                // The value of an ENUM that is none of its own has the index 0, and is kept so.
                if enums.iter().any(|column| message.contains(&format!("'{column}'"))) {
                    continue;
                }
            }
            return Err(Error::archive("the server has not taken rows as they were dumped")
                .with_context("warning", told(number, &message))
                .with_context("warnings", done.warnings)
                .with_hint(
                    "is the server older than the one that was dumped, or are its character sets others?",
                ));
        }
        if warnings.len() < usize::from(done.warnings) || done.warnings == u16::MAX {
            return Err(Error::environment("the server gave more warnings of rows than it keeps")
                .with_context("warnings", done.warnings)
                .with_context("kept", warnings.len())
                .with_hint(
                    "those that it kept are of values of an `ENUM` that are none of its members, which is right, but nobody \
                     knows of the others: set `local_infile = OFF` at the server, so that fewer rows are sent at once",
                ));
        }
        Ok(())
    }
}

fn told(number: &str, message: &str) -> String {
    format!("{number}: {}", without_values(number.parse().unwrap_or_default(), message))
}

async fn enum_columns(session: &mut Session, table: &str) -> Result<Vec<String>> {
    let asked = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = {} \
         AND data_type = 'enum'",
        quote::literal(table)
    );
    session.rows(asked).await?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
}
