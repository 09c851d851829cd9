//! Which server it is, of all that a name may lead to.

use super::row::Row;

/// Asks for it. Not every server has all of these.
pub(super) const ASKED: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('hostname', 'port', 'server_id', 'server_uuid', 'server_uid', 'datadir', 'pid_file', 'socket')";

/// What was told, as one text.
pub(super) fn of_rows(rows: &[Row]) -> String {
    let mut told: Vec<_> = rows
        .iter()
        .map(|row| {
            [row.bytes(0), row.bytes(1)]
                .map(|text| String::from_utf8_lossy(text.unwrap_or_default()).into_owned())
        })
        .map(|[name, value]| format!("{}={value}", name.to_lowercase()))
        .collect();
    told.sort();
    told.join(" ")
}
