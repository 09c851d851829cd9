//! The server, and what this login may do there.

use dumprestore_driver::Result;

use crate::connect::Connection;

/// What a server told.
pub(crate) struct Server {
    /// Such as `15.18`.
    pub(crate) version: String,
    pub(crate) standby: bool,
    pub(crate) login: String,
    pub(crate) encrypted: bool,
    pub(crate) is_superuser: bool,
    pub(crate) may_create_databases: bool,
    /// Whether sessions of other logins, other than superusers', may be ended.
    pub(crate) may_end_sessions: bool,
    pub(crate) free_connections: i64,
    /// What no other server has, and this one has until it is started again. Not every login may read it.
    pub(crate) identity: Option<String>,
}

impl Server {
    pub(super) async fn ask(session: &Connection) -> Result<Self> {
        let asked = "SELECT split_part(current_setting('server_version'), ' ', 1), pg_is_in_recovery(), \
            current_user::text, coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), \
            rolsuper, rolsuper OR rolcreatedb, rolsuper OR pg_has_role('pg_signal_backend', 'USAGE'), \
            current_setting('max_connections')::bigint \
              - current_setting('superuser_reserved_connections')::bigint \
              - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') \
            FROM pg_roles WHERE rolname = current_user";
        let failed = |error| session.fault(error, "can't ask a server what it is");
        let row = session.query_one(asked, &[]).await.map_err(failed)?;
        let identity = "SELECT system_identifier::text || '.' \
            || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint FROM pg_control_system()";
        Ok(Self {
            version: row.get(0),
            standby: row.get(1),
            login: row.get(2),
            encrypted: row.get(3),
            is_superuser: row.get(4),
            may_create_databases: row.get(5),
            may_end_sessions: row.get(6),
            free_connections: row.get(7),
            // Where that was revoked, the name of the host has to do.
            identity: session.query_one(identity, &[]).await.ok().map(|row| row.get(0)),
        })
    }
}

/// How many bytes the database has on disk.
pub(super) async fn size(session: &Connection) -> Result<u64> {
    let asked = "SELECT pg_database_size(current_database())";
    let failed = |error| session.fault(error, "can't ask for the size of a database");
    let size: i64 = session.query_one(asked, &[]).await.map_err(failed)?.get(0);
    Ok(size.unsigned_abs())
}
