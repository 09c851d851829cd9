//! Tables, views and sequences: they share their names.

use dumprestore_driver::Result;

use super::is;
use crate::connect::{Session, code};

const NO_SUCH_DATABASE: u16 = 1049;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Of a table. `None`: the server can't open it.
    pub(crate) engine: Option<String>,
    /// Whether its engine shows it as it was when a transaction began.
    pub(crate) transactional: bool,
    /// About how many rows it has.
    pub(crate) rows: u64,
    /// About how many bytes they have, as the server keeps them.
    pub(crate) bytes: u64,
    /// Of a table.
    pub(crate) collation: Option<String>,
    /// Of what the server can't open: why.
    pub(crate) comment: String,
}

/// What a [`Relation`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    /// One that keeps rows of the past as well.
    Versioned,
    View,
    Sequence,
}

impl Relation {
    /// Whether it is a base table, with rows of its own.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Table | Kind::Versioned)
    }

    /// Whether both are the same thing, as far as a list can tell: rows come and go.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind && self.engine == other.engine
    }

    /// Whether its rows are somewhere else, where they are dumped or not: a `MERGE` table, a `FEDERATED` one.
    pub(crate) fn is_a_window(&self) -> bool {
        const WINDOWS: [&str; 7] =
            ["MRG_MYISAM", "MRG_ISAM", "FEDERATED", "CONNECT", "SPIDER", "OQGRAPH", "BLACKHOLE"];
        let engine = self.engine.as_deref().unwrap_or_default();
        WINDOWS.iter().any(|window| engine.eq_ignore_ascii_case(window))
    }
}

/// Whether `START TRANSACTION WITH CONSISTENT SNAPSHOT` holds for an engine. Some have transactions, and no such snapshots
/// (NDB, ColumnStore); of one that is not known, nothing is taken for granted.
fn keeps_snapshots(engine: &str) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB"].iter().any(|known| known.eq_ignore_ascii_case(engine))
}

/// All of them, by name. Temporary tables are nobody's business.
pub(crate) async fn relations(session: &mut Session, database: &str) -> Result<Vec<Relation>> {
    let sql = format!(
        "SELECT table_name, table_type, engine, table_rows, data_length, table_collation, table_comment \
         FROM information_schema.tables WHERE {}",
        is("table_schema", database)
    );
    let mut relations = Vec::new();
    for row in session.rows(&sql).await? {
        let kind = match row.text(1)? {
            "VIEW" | "SYSTEM VIEW" => Kind::View,
            "SEQUENCE" => Kind::Sequence,
            "SYSTEM VERSIONED" => Kind::Versioned,
            "TEMPORARY" | "LOCAL TEMPORARY" => continue,
            _ => Kind::Table,
        };
        let engine = row.text_or_null(2)?.map(str::to_owned);
        relations.push(Relation {
            name: row.text(0)?.to_owned(),
            kind,
            transactional: engine.as_deref().is_some_and(keeps_snapshots),
            engine,
            rows: row.number_or_null(3)?.unwrap_or(0),
            bytes: row.number_or_null(4)?.unwrap_or(0),
            collation: row.text_or_null(5)?.map(str::to_owned),
            comment: row.text_or_null(6)?.unwrap_or_default().to_owned(),
        });
    }
    relations.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(relations)
}

/// The names of all of them, in order; none if there is no such database. What is just being changed is listed as well,
/// which [`relations`] may pass over.
pub(crate) async fn names(session: &mut Session, database: &str) -> Result<Vec<String>> {
    let listed = session.rows(&format!("SHOW FULL TABLES FROM {}", crate::quote::name(database))).await;
    let rows = match listed {
        Err(error) if code(&error) == Some(NO_SUCH_DATABASE) => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut names = Vec::new();
    for row in &rows {
        if !matches!(row.text_or_null(1)?, Some("TEMPORARY" | "LOCAL TEMPORARY" | "TEMPORARY TABLE")) {
            names.push(row.text(0)?.to_owned());
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_with_transactions_may_have_no_snapshots() {
        assert!(keeps_snapshots("InnoDB") && keeps_snapshots("rocksdb"));
        for engine in ["ndbcluster", "Columnstore", "MyISAM", "Aria", "SEQUENCE", ""] {
            assert!(!keeps_snapshots(engine), "{engine}");
        }
    }
}
