//! What a live database holds and a restore in place drops: everything of the user's, other than members of extensions
//! that stay, and schemas that hold them.

use std::collections::HashSet;

use dumprestore_driver::{Error, Result};

use super::extensions::{self, Extension};
use crate::archived::Contents;
use crate::connect::Connection;
use crate::quote;

/// `FirstNormalObjectId`: what has a lower number came with the server.
const FIRST: u32 = 16_384;

/// One thing that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    /// The statement that drops it.
    pub(super) statement: String,
    /// As people call it.
    pub(super) label: String,
    /// Whether the login may drop it.
    pub(super) is_ours: bool,
}

/// What a live database holds.
#[derive(Debug)]
pub(super) struct Holdings {
    /// In an order in which they can be dropped.
    pub(super) drops: Vec<Holding>,
    pub(super) extensions: Vec<Extension>,
    /// Schemas that stay, by their names; what is in them goes.
    pub(super) schemas: HashSet<String>,
    /// Subscriptions, quoted.
    pub(super) subscriptions: Vec<String>,
}

impl Holdings {
    /// Looks.
    pub(super) async fn look(session: &Connection, contents: &Contents) -> Result<Self> {
        let extensions = extensions::staying(session, contents).await?;
        let schemas = staying_schemas(session, contents, &extensions).await?;
        let oids: Vec<u32> = schemas.iter().map(|(oid, _)| *oid).collect();
        let names: Vec<&str> = extensions.iter().map(|extension| extension.name.as_str()).collect();
        let rows = session.query(THINGS, &[&oids, &names, &FIRST]).await;
        let rows = rows.map_err(|error| looked(session, error))?;
        let drops = rows.iter().map(|row| {
            let (kind, identity): (&str, &str) = (row.get(0), row.get(1));
            Holding {
                statement: statement(kind, identity, session.version()),
                label: format!("{kind} {identity}"),
                is_ours: row.get(2),
            }
        });
        Ok(Self {
            drops: drops.collect(),
            extensions,
            schemas: schemas.into_iter().map(|(_, name)| name).collect(),
            subscriptions: subscriptions(session).await?,
        })
    }
}

fn looked(session: &Connection, error: tokio_postgres::Error) -> Error {
    session.fault(error, "can't list what the live database holds")
}

/// Whether what is restored has the schema `public`: a selection that is without it says nothing of it.
pub(super) fn has_public(contents: &Contents) -> bool {
    !contents.whole || contents.schemas.iter().any(|schema| schema == "public")
}

/// `public` is the server's own, and may belong to somebody else. Others stay if an extension that stays is in them.
async fn staying_schemas(
    session: &Connection,
    contents: &Contents,
    extensions: &[Extension],
) -> Result<Vec<(u32, String)>> {
    let homes: Vec<u32> = extensions.iter().map(|extension| extension.schema).collect();
    let names: Vec<&str> = extensions.iter().map(|extension| extension.name.as_str()).collect();
    let public = has_public(contents);
    let asked = "SELECT n.oid, n.nspname::text FROM pg_catalog.pg_namespace n \
        WHERE pg_catalog.left(n.nspname::text, 3) <> 'pg_' AND n.nspname <> 'information_schema' \
        AND (n.oid = ANY ($1) OR n.nspname = 'public' AND $3 OR EXISTS (SELECT FROM pg_catalog.pg_depend i \
            JOIN pg_catalog.pg_depend e ON e.classid = i.classid AND e.objid = i.objid AND e.deptype = 'e' \
            JOIN pg_catalog.pg_extension x ON x.oid = e.refobjid AND x.extname = ANY ($2) \
            WHERE i.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND i.refobjid = n.oid))";
    let rows = session.query(asked, &[&homes, &names, &public]).await;
    Ok(rows.map_err(|error| looked(session, error))?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Subscriptions of other databases are none of ours.
async fn subscriptions(session: &Connection) -> Result<Vec<String>> {
    let asked = "SELECT s.subname::text FROM pg_catalog.pg_subscription s \
        JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()";
    let rows = session.query(asked, &[]).await.map_err(|error| looked(session, error))?;
    Ok(rows.iter().map(|row| quote::name(row.get(0))).collect())
}

/// Kind, identity, and whether the login may drop it, of everything that goes, in an order that works.
///
/// What hangs on something else, such as an index or the sequence of an identity column, goes with that.
const THINGS: &str = "
    WITH found (rank, classid, objid, home) AS (
        SELECT 1, 'pg_catalog.pg_event_trigger'::pg_catalog.regclass::oid, oid, 0::oid FROM pg_catalog.pg_event_trigger
        UNION ALL SELECT 2, 'pg_catalog.pg_publication'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_publication
        UNION ALL SELECT 3, 'pg_catalog.pg_extension'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_extension
            WHERE extname <> ALL ($2::text[])
        UNION ALL SELECT 4, 'pg_catalog.pg_namespace'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_namespace
            WHERE pg_catalog.left(nspname::text, 3) <> 'pg_' AND nspname <> 'information_schema'
            AND oid <> ALL ($1::oid[])
        UNION ALL SELECT 5, classid, objid, refobjid FROM pg_catalog.pg_depend
            WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = ANY ($1::oid[])
            AND deptype = 'n' AND objsubid = 0 AND classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass
        UNION ALL SELECT 6, 'pg_catalog.pg_cast'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_cast
        UNION ALL SELECT 6, 'pg_catalog.pg_transform'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_transform
        UNION ALL SELECT 6, 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, oid, 0
            FROM pg_catalog.pg_foreign_server
        UNION ALL SELECT 7, 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, oid, 0
            FROM pg_catalog.pg_foreign_data_wrapper
        UNION ALL SELECT 8, 'pg_catalog.pg_language'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_language
        UNION ALL SELECT 8, 'pg_catalog.pg_am'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_am
    )
    SELECT i.type, i.identity,
        f.classid IN ('pg_catalog.pg_cast'::pg_catalog.regclass, 'pg_catalog.pg_transform'::pg_catalog.regclass)
        OR pg_catalog.pg_has_role(coalesce(o.refobjid, 10::oid), 'USAGE')
        OR EXISTS (SELECT FROM pg_catalog.pg_namespace n
            WHERE n.oid = f.home AND pg_catalog.pg_has_role(n.nspowner, 'USAGE'))
    FROM found f
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(f.classid, f.objid, 0) AS i
    LEFT JOIN pg_catalog.pg_shdepend o ON o.classid = f.classid AND o.objid = f.objid AND o.objsubid = 0
        AND o.deptype = 'o'
        AND o.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    WHERE (f.objid >= $3::oid OR i.type = 'schema' AND i.name = 'public') AND i.identity IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = f.classid AND d.objid = f.objid
        AND d.objsubid = 0 AND d.deptype IN ('e', 'i', 'P', 'S'))
    ORDER BY f.rank, f.objid";

fn statement(kind: &str, identity: &str, version: u32) -> String {
    let kind = match kind {
        "statistics object" => "STATISTICS".to_owned(),
        "function" | "procedure" | "aggregate" if version >= 110_000 => "ROUTINE".to_owned(),
        "aggregate" => return format!("DROP AGGREGATE IF EXISTS {} CASCADE", identity.replace("()", "(*)")),
        "transform" => {
            let identity = identity.replacen(" on language ", " LANGUAGE ", 1);
            return format!("DROP TRANSFORM IF EXISTS {identity} CASCADE");
        }
        kind => kind.replace('-', " ").to_uppercase(),
    };
    format!("DROP {kind} IF EXISTS {identity} CASCADE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_calls_things_makes_statements() {
        let cases = [
            ("table", "public.t", "DROP TABLE IF EXISTS public.t CASCADE"),
            ("foreign-data wrapper", "f", "DROP FOREIGN DATA WRAPPER IF EXISTS f CASCADE"),
            ("statistics object", "s.s", "DROP STATISTICS IF EXISTS s.s CASCADE"),
            ("aggregate", "s.a()", "DROP ROUTINE IF EXISTS s.a() CASCADE"),
            ("transform", "for s.t on language sql", "DROP TRANSFORM IF EXISTS for s.t LANGUAGE sql CASCADE"),
        ];
        for (kind, identity, expected) in cases {
            assert_eq!(statement(kind, identity, 150_000), expected);
        }
        assert_eq!(statement("aggregate", "s.a()", 100_000), "DROP AGGREGATE IF EXISTS s.a(*) CASCADE");
    }
}
