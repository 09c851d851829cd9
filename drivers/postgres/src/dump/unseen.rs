//! What `pg_dump` leaves out because the login may not see it, by itself or without a word.

use dumprestore_driver::{LedgerEntry, Result};

use crate::connect::Connection;

/// All of it, as of the pinned snapshot.
pub(super) async fn unseen(main: &Connection) -> Result<Vec<LedgerEntry>> {
    let mut unseen = user_mappings(main).await?;
    unseen.extend(subscriptions(main).await?);
    Ok(unseen)
}

/// It passes over subscriptions with a warning, if the login may not see how they connect.
async fn subscriptions(main: &Connection) -> Result<Option<LedgerEntry>> {
    let sql = "
        SELECT pg_catalog.count(*) FROM pg_catalog.pg_subscription s
        WHERE s.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
            AND pg_catalog.current_setting('is_superuser') = 'off'";
    let rows = main.query(sql, &[]).await;
    let rows = rows.map_err(|error| main.fault(error, "can't look for subscriptions"))?;
    let count: i64 = rows.first().map_or(0, |row| row.get(0));
    let why = "only a superuser may read how they connect: dump with such a login to have them";
    Ok((count > 0).then(|| LedgerEntry::degrading(format!("{count} subscriptions"), why)))
}

/// It writes user mappings without the options that the login may not see, and says nothing. One that has none looks
/// the same; so whose options would be hidden, if there are some, is asked as the view itself decides it.
const MAPPINGS: &str = "
    SELECT m.usename::text, m.srvname::text FROM pg_catalog.pg_user_mappings m
        JOIN pg_catalog.pg_foreign_server s ON s.oid = m.srvid
    WHERE m.umoptions IS NULL AND (coalesce(
        CASE m.umuser
            WHEN 0 THEN pg_catalog.pg_has_role(s.srvowner, 'USAGE')
            ELSE m.usename = current_user AND (pg_catalog.pg_has_role(s.srvowner, 'USAGE')
                OR pg_catalog.has_server_privilege(s.oid, 'USAGE'))
        END
        OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false)) IS FALSE
    ORDER BY 2, 1";

async fn user_mappings(main: &Connection) -> Result<Vec<LedgerEntry>> {
    let rows = main.query(MAPPINGS, &[]).await;
    let rows = rows.map_err(|error| main.fault(error, "can't look for user mappings"))?;
    let why = "its options, such as a password, can't be seen by this login, and are not in the dump if it has some: \
        dump with a superuser to have them";
    let told = |row: &tokio_postgres::Row| {
        let (user, server): (Option<&str>, &str) = (row.get(0), row.get(1));
        let user = user.unwrap_or_default().escape_debug();
        LedgerEntry::degrading(format!("user mapping of `{user}` on server `{}`", server.escape_debug()), why)
    };
    Ok(rows.iter().map(told).collect())
}
