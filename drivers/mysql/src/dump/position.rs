//! Where in the binary log the cut was, for who wants to replay what came after it.

use dumprestore_driver::{Facts, Result};

use crate::connect::{Row, Session};

/// What the server tells of it, and of itself. `first` has the snapshot already; `gate` keeps everybody out.
pub(super) async fn position(first: &mut Session, gate: Option<&mut Session>) -> Result<Facts> {
    let mut facts = Facts::new();
    let mut note = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.insert(name.to_owned(), value.to_owned());
        }
    };
    let server = first.server().clone();
    note("server_version", Some(&server.text));
    note("pinned_at", text(&optional(first, "SELECT UTC_TIMESTAMP(6)").await?, 0));
    if server.is_mariadb() {
        // As of this very snapshot, lock or not.
        let rows = optional(first, "SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
        for row in &rows {
            match row.text(0)?.to_ascii_lowercase().as_str() {
                "binlog_snapshot_file" => note("binlog_file", row.text_or_null(1)?),
                "binlog_snapshot_position" if row.bytes(1) != Some(b"0") => {
                    note("binlog_position", row.text_or_null(1)?);
                }
                _ => {}
            }
        }
    }
    let Some(gate) = gate else { return Ok(facts) };
    if server.is_mariadb() {
        note("gtid", text(&optional(gate, "SELECT @@GLOBAL.gtid_current_pos").await?, 0));
    } else {
        let asked =
            if server.is_mysql_since(8, 2, 0) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let rows = optional(gate, asked).await?;
        note("binlog_file", text(&rows, 0));
        note("binlog_position", text(&rows, 1));
        note("gtid", text(&optional(gate, "SELECT @@GLOBAL.gtid_executed").await?, 0));
    }
    Ok(facts)
}

/// What the server tells if it wants to: it may have no binary log, or the login no right to know.
async fn optional(session: &mut Session, sql: &str) -> Result<Vec<Row>> {
    match session.rows(sql).await {
        Err(error) if session.is_gone() => Err(error),
        other => Ok(other.unwrap_or_default()),
    }
}

fn text(rows: &[Row], column: usize) -> Option<&str> {
    rows.first().and_then(|row| row.text_or_null(column).ok().flatten())
}
