//! The live database is emptied, as part of the transaction: it is then as `CREATE DATABASE` would have made it.

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::super::foreign_keys::ForeignKey;
use super::choice::Chosen;
use super::extensions;
use super::holdings::{Holdings, has_public};
use super::tolerance::try_to;
use crate::archived::Contents;
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// So many statements are sent at once.
const AT_ONCE: usize = 100;

/// Tables of the user's, quoted: what is locked before anything is dropped.
pub(super) async fn tables(session: &Connection) -> Result<Vec<String>> {
    let asked = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition \
        AND n.nspname <> 'information_schema' AND pg_catalog.left(n.nspname::text, 3) <> 'pg_' \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = c.oid \
            AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass) ORDER BY c.oid";
    let rows = session.query(asked, &[]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list the tables of the live database"))?;
    Ok(rows.iter().map(|row| quote::qualified(row.get(0), row.get(1))).collect())
}

/// Drops everything, and gives what a fresh database has. What was dropped is there until the commit, for others. Foreign
/// keys among tables of extensions that stay are out of action from then on.
pub(super) async fn clear(
    session: &Connection,
    chosen: &Chosen,
    holdings: &Holdings,
) -> Result<(Vec<LedgerEntry>, Vec<ForeignKey>)> {
    for some in holdings.drops.chunks(AT_ONCE) {
        let statements: Vec<&str> = some.iter().map(|holding| holding.statement.as_str()).collect();
        session.batch_execute(&statements.join(";")).await.map_err(|error| dropped(session, error))?;
    }
    for subscription in &holdings.subscriptions {
        // The publisher is not told: its slot stays, and the transaction can still be rolled back.
        let statements = format!(
            "ALTER SUBSCRIPTION {subscription} DISABLE; ALTER SUBSCRIPTION {subscription} SET (slot_name = NONE); \
             DROP SUBSCRIPTION {subscription}"
        );
        session.batch_execute(&statements).await.map_err(|error| dropped(session, error))?;
    }
    remove_large_objects(session).await?;
    let mut keys = Vec::new();
    if chosen.with_data {
        keys = extensions::suspend_keys(session, &chosen.contents.tables).await?;
        extensions::empty_tables(session, &holdings.extensions, None).await?;
    }
    let mut ledger = reset_default_privileges(session).await?;
    ledger.extend(reset_schemas(session, &chosen.contents, holdings).await?);
    Ok((ledger, keys))
}

fn dropped(session: &Connection, error: tokio_postgres::Error) -> Error {
    let error = session.fault(error, "can't drop what is to be replaced");
    match sqlstate(&error) {
        Some("55P03" | "40P01") => {
            error.with_hint("somebody uses the database: end these sessions, or raise `lock_timeout`")
        }
        _ => error,
    }
}

/// Removes all of them.
pub(super) async fn remove_large_objects(session: &Connection) -> Result<()> {
    let removed =
        "SELECT pg_catalog.count(pg_catalog.lo_unlink(oid)) FROM pg_catalog.pg_largeobject_metadata";
    session.query_one(removed, &[]).await.map(drop).map_err(|error| dropped(session, error))
}

const DEFAULTS: &str = "
    SELECT pg_catalog.quote_ident(r.rolname), pg_catalog.quote_ident(n.nspname), d.defaclobjtype = ANY ('{f,T}'),
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
            WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
        ARRAY (SELECT DISTINCT coalesce(pg_catalog.quote_ident(g.rolname), 'PUBLIC')
            FROM pg_catalog.aclexplode(d.defaclacl) a LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantee)
    FROM pg_catalog.pg_default_acl d
    JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid = d.oid AND e.deptype = 'e'
        AND e.classid = 'pg_catalog.pg_default_acl'::pg_catalog.regclass)";

/// Those of schemas that were dropped are gone. What is as by default, the server forgets by itself.
async fn reset_default_privileges(session: &Connection) -> Result<Vec<LedgerEntry>> {
    let rows = session.query(DEFAULTS, &[]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't read which privileges are the default"))?;
    let mut ledger = Vec::new();
    for row in &rows {
        let (role, schema): (&str, Option<&str>) = (row.get(0), row.get(1));
        let (things, grantees): (&str, Vec<String>) = (row.get(3), row.get(4));
        let within = schema.map(|schema| format!(" IN SCHEMA {schema}")).unwrap_or_default();
        let begin = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role}{within}");
        let mut statements = Vec::new();
        if !grantees.is_empty() {
            statements.push(format!("{begin} REVOKE ALL ON {things} FROM {}", grantees.join(", ")));
        }
        if schema.is_none() {
            statements.push(format!("{begin} GRANT ALL ON {things} TO {role}"));
            if row.get(2) {
                statements.push(format!("{begin} GRANT ALL ON {things} TO PUBLIC"));
            }
        }
        ledger.extend(try_to(session, &format!("default privileges of {role}"), &statements).await?);
    }
    Ok(ledger)
}

/// Schemas that stay get the owner, the privileges and the comment that they had when they were new.
async fn reset_schemas(
    session: &Connection,
    contents: &Contents,
    holdings: &Holdings,
) -> Result<Vec<LedgerEntry>> {
    let mut ledger = Vec::new();
    for schema in &holdings.schemas {
        let statements = match schema.as_str() {
            "public" => as_new(session).await?,
            other => without_privileges(session, other).await?,
        };
        if !statements.is_empty() {
            let what = format!("owner and privileges of the schema `{schema}`");
            ledger.extend(try_to(session, &what, &statements).await?);
        }
    }
    if has_public(contents) && !holdings.schemas.contains("public") {
        let mut statements = vec!["CREATE SCHEMA public".to_owned()];
        statements.extend(public(session.version()));
        ledger.extend(try_to(session, "schema `public`", &statements).await?);
    }
    Ok(ledger)
}

/// What a fresh database does to its schema `public`.
fn public(version: u32) -> Vec<String> {
    let (everybody, set_owner) = match version {
        150_000.. => ("USAGE", "ALTER SCHEMA public OWNER TO pg_database_owner"),
        // Whoever made the server.
        _ => (
            "ALL",
            "DO $$ BEGIN EXECUTE (SELECT pg_catalog.format('ALTER SCHEMA public OWNER TO %I', rolname) \
             FROM pg_catalog.pg_roles WHERE oid = 10); END $$",
        ),
    };
    vec![
        set_owner.to_owned(),
        format!("GRANT {everybody} ON SCHEMA public TO PUBLIC"),
        "COMMENT ON SCHEMA public IS 'standard public schema'".to_owned(),
    ]
}

/// Nothing, if it is as in a fresh database: then it need not be ours.
async fn as_new(session: &Connection) -> Result<Vec<String>> {
    let fresh = match session.version() {
        150_000.. => {
            "SELECT pg_catalog.pg_get_userbyid(nspowner) = 'pg_database_owner' AND nspacl::text[] <@ \
            '{pg_database_owner=UC/pg_database_owner,=U/pg_database_owner}'::text[] \
            AND pg_catalog.cardinality(nspacl) = 2 AND"
        }
        _ => {
            "SELECT nspowner = 10 AND pg_catalog.cardinality(nspacl) = 2 AND NOT EXISTS (SELECT FROM \
            pg_catalog.aclexplode(nspacl) a WHERE a.grantee NOT IN (0, 10) OR a.is_grantable) \
            AND (SELECT pg_catalog.count(*) FROM pg_catalog.aclexplode(nspacl) a) = 4 AND"
        }
    };
    let asked = format!(
        "{fresh} coalesce(pg_catalog.obj_description(oid, 'pg_namespace'), '') = 'standard public schema' \
         FROM pg_catalog.pg_namespace WHERE nspname = 'public'"
    );
    let row = session.query_opt(&asked, &[]).await;
    let row = row.map_err(|error| session.fault(error, "can't look at the schema `public`"))?;
    if row.is_some_and(|row| row.get::<_, Option<bool>>(0) == Some(true)) {
        return Ok(Vec::new());
    }
    let mut statements = without_privileges(session, "public").await?;
    statements.extend(public(session.version()));
    Ok(statements)
}

/// What takes away all privileges that somebody other than the owner was given.
async fn without_privileges(session: &Connection, schema: &str) -> Result<Vec<String>> {
    let asked = "SELECT DISTINCT coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC') \
        FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a \
        LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee \
        WHERE n.nspname = $1 AND a.grantee <> n.nspowner ORDER BY 1";
    let rows = session.query(asked, &[&schema]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't read the privileges on a schema"))?;
    let name = quote::name(schema);
    let revoke = rows
        .iter()
        .map(|row| format!("REVOKE ALL ON SCHEMA {name} FROM {} CASCADE", row.get::<_, String>(0)));
    Ok(revoke.collect())
}
