//! What holds a database, so that it can't be swapped and dropped. A restore in place leaves it where it is.

use dumprestore_driver::Result;

use super::databases::Database;
use super::needs::Obstacle;
use crate::connect::Connection;

/// Readers of logical replication can't be ended like other sessions, and subscriptions go on in a database of another
/// name.
pub(crate) async fn obstacles(session: &Connection, live: &Database) -> Result<Vec<Obstacle>> {
    let slots = "SELECT slot_name::text FROM pg_catalog.pg_replication_slots s \
        JOIN pg_catalog.pg_database d ON d.datname = s.database WHERE d.oid = $1 AND s.active ORDER BY 1";
    let subscriptions = "SELECT subname::text FROM pg_catalog.pg_subscription WHERE subdbid = $1 ORDER BY 1";
    let mut obstacles = Vec::new();
    if let Some(names) = named(session, slots, live).await? {
        obstacles.push(Obstacle::new(
            format!("logical replication reads the database: slots `{names}`"),
            "stop its readers and drop the slots, or restore with `--in-place`",
        ));
    }
    if let Some(names) = named(session, subscriptions, live).await? {
        obstacles.push(Obstacle::new(
            format!("the database has subscriptions: `{names}`"),
            "drop them before, and make them again afterwards; or restore with `--in-place`",
        ));
    }
    Ok(obstacles)
}

async fn named(session: &Connection, asked: &str, live: &Database) -> Result<Option<String>> {
    let rows = session.query(asked, &[&live.oid]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't look at what holds a database"))?;
    let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    Ok((!names.is_empty()).then(|| names.join("`, `")))
}
