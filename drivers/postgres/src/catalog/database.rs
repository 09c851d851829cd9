//! The database as such, and its schemas.

use dumprestore_driver::{Error, Result};

use super::rows;
use crate::archived::{Database, Setting};
use crate::connect::Connection;

/// What `CREATE DATABASE` and `ALTER DATABASE` would have to say of the database that the session is in.
pub(crate) async fn database(connection: &Connection) -> Result<Database> {
    let version = connection.version();
    let (provider, locale) = match version {
        170_000.. => ("d.datlocprovider", "d.datlocale"),
        150_000.. => ("d.datlocprovider", "d.daticulocale"),
        _ => ("'c'::\"char\"", "NULL::text"),
    };
    let rules = if version >= 160_000 { "d.daticurules" } else { "NULL::text" };
    let sql = format!(
        "SELECT d.datname::text, pg_catalog.pg_get_userbyid(d.datdba)::text, \
             pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text, {provider}, \
             {locale}::text, {rules}::text, t.spcname::text, d.datconnlimit, d.datistemplate, \
             pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl::text[] \
         FROM pg_catalog.pg_database d LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
         WHERE d.datname = pg_catalog.current_database()"
    );
    let rows = rows(connection, "can't read what the database is like", &sql, &[]).await?;
    let row = rows.first().ok_or_else(|| Error::environment("the database is not in its own catalogue"))?;
    Ok(Database {
        name: row.get(0),
        owner: row.get(1),
        encoding: row.get(2),
        collate: row.get(3),
        ctype: row.get(4),
        locale_provider: provider_name(row.get(5)).to_owned(),
        locale: row.get(6),
        icu_rules: row.get(7),
        tablespace: row.get::<_, Option<String>>(8).filter(|name| name != "pg_default"),
        connection_limit: row.get(9),
        is_template: row.get(10),
        comment: row.get(11),
        acl: row.get(12),
        security_labels: security_labels(connection).await?,
        settings: settings(connection).await?,
    })
}

fn provider_name(letter: i8) -> &'static str {
    match letter.to_ne_bytes()[0] {
        b'i' => "icu",
        b'b' => "builtin",
        _ => "libc",
    }
}

const LABELS: &str = "
    SELECT l.provider, l.label FROM pg_catalog.pg_shseclabel l
    JOIN pg_catalog.pg_database d ON d.oid = l.objoid AND d.datname = pg_catalog.current_database()
    WHERE l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass ORDER BY 1";

async fn security_labels(connection: &Connection) -> Result<Vec<(String, String)>> {
    let rows = rows(connection, "can't read the security labels of the database", LABELS, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

const SETTINGS: &str = "
    SELECT r.rolname::text, c.setting
    FROM pg_catalog.pg_db_role_setting s
    JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase AND d.datname = pg_catalog.current_database()
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) WITH ORDINALITY AS c (setting, place)
    WHERE s.setrole = 0 OR r.oid IS NOT NULL
    ORDER BY r.rolname NULLS FIRST, c.place";

async fn settings(connection: &Connection) -> Result<Vec<Setting>> {
    let rows = rows(connection, "can't read the settings of the database", SETTINGS, &[]).await?;
    let setting = |row: &tokio_postgres::Row| {
        let said: String = row.get(1);
        let (name, value) = said.split_once('=').unwrap_or((&said, ""));
        Setting { role: row.get(0), name: name.to_owned(), value: value.to_owned() }
    };
    Ok(rows.iter().map(setting).collect())
}

const SCHEMAS: &str = "
    SELECT nspname::text FROM pg_catalog.pg_namespace
    WHERE pg_catalog.left(nspname::text, 3) <> 'pg_' AND nspname <> 'information_schema' ORDER BY 1";

/// Whose the schema `public` is, if it is there.
pub(crate) async fn owner_of_public(connection: &Connection) -> Result<Option<String>> {
    let sql = "SELECT pg_catalog.pg_get_userbyid(nspowner)::text FROM pg_catalog.pg_namespace \
        WHERE nspname = 'public'";
    let rows = rows(connection, "can't read whose a schema is", sql, &[]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The schemas of the user's that are there.
pub(crate) async fn schemas(connection: &Connection) -> Result<Vec<String>> {
    let rows = rows(connection, "can't list the schemas", SCHEMAS, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
