//! What an archive needs of a server: found by the plan, and not halfway through a restore.

use std::collections::BTreeSet;

use dumprestore_driver::{Error, ErrorKind, Result};

use super::items::Policies;
use super::{acl, named, privileged, roles};
use crate::archived::{Contents, Database};
use crate::config::Policy;
use crate::connect::Connection;

/// Something that stands in the way, and what to do about it.
#[derive(Debug)]
pub(crate) struct Obstacle {
    message: String,
    hint: &'static str,
    kind: ErrorKind,
}

/// The first of these names, and how many more there are.
pub(super) fn listed(names: &[impl AsRef<str>], most: usize) -> String {
    let more = names.len().saturating_sub(most);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let named: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    format!("`{}`{more}", named.join("`, `"))
}

impl Obstacle {
    pub(crate) fn new(message: impl Into<String>, hint: &'static str) -> Self {
        Self { message: message.into(), hint, kind: ErrorKind::Environment }
    }

    /// All of them as one error, if there is any.
    pub(crate) fn refuse(obstacles: Vec<Self>) -> Result<()> {
        let mut obstacles = obstacles.into_iter();
        let Some(first) = obstacles.next() else { return Ok(()) };
        let error = Error::new(first.kind, first.message);
        let mut hints = vec![first.hint];
        let error = obstacles.fold(error, |error, more| {
            if !hints.contains(&more.hint) {
                hints.push(more.hint);
            }
            error.with_context("also", more.message)
        });
        Err(error.with_hint(hints.join("; ")))
    }
}

/// The rights of the login.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) is_superuser: bool,
    /// Or what hosted servers give out in place of one.
    pub(crate) is_nearly_superuser: bool,
    pub(crate) may_create_databases: bool,
    pub(crate) may_create_roles: bool,
}

impl Login {
    pub(crate) async fn look(session: &Connection) -> Result<Self> {
        let asked = "SELECT rolname::text, rolsuper, rolcreatedb, rolcreaterole \
            FROM pg_catalog.pg_roles WHERE rolname = current_user";
        let row = session.query_one(asked, &[]).await.map_err(|error| looked(session, error))?;
        let is_superuser: bool = row.get(1);
        Ok(Self {
            name: row.get(0),
            is_superuser,
            is_nearly_superuser: is_superuser || privileged::is_nearly_superuser(session).await?,
            may_create_databases: is_superuser || row.get(2),
            may_create_roles: is_superuser || row.get(3),
        })
    }
}

fn looked(session: &Connection, error: tokio_postgres::Error) -> Error {
    session.fault(error, "can't see whether the server has what the archive needs")
}

/// The roles that must be there: owners, and those that are granted something.
pub(crate) fn roles_of(contents: &Contents, policies: Policies) -> Result<BTreeSet<String>> {
    let mut needed = owners_of(contents, policies);
    if policies.privileges == Policy::Keep {
        for item in contents.database.acl.iter().flatten() {
            let grant = acl::Grant::parse(item)?;
            let roles = [grant.grantee, grant.grantor].into_iter().filter(|role| !role.is_empty());
            // Without owners, whoever the database will belong to takes its owner's place.
            let takes_place =
                |role: &String| policies.owners == Policy::None && *role == contents.database.owner;
            needed.extend(roles.filter(|role| !takes_place(role)));
        }
        needed.extend(contents.large_object_roles.granted.iter().cloned());
    }
    if policies.owners == Policy::Keep {
        // Without owners, a setting of a role that is not there is only told.
        needed.extend(contents.database.settings.iter().filter_map(|setting| setting.role.clone()));
    }
    for item in contents.items.iter().filter(|item| policies.want(item)) {
        needed.extend(named::roles(&item.kind, &item.sql));
    }
    Ok(needed)
}

fn owners_of(contents: &Contents, policies: Policies) -> BTreeSet<String> {
    if policies.owners == Policy::None {
        return BTreeSet::new();
    }
    let owners =
        contents.items.iter().filter_map(|item| policies.owner(item)).map(|(_, owner)| owner.to_owned());
    let of_large_objects = contents.large_object_roles.owners.iter().cloned();
    owners.chain([contents.database.owner.clone()]).chain(of_large_objects).collect()
}

/// Everything that the server does not have, or the login may not.
pub(crate) async fn obstacles(
    session: &Connection,
    contents: &Contents,
    policies: Policies,
    login: &Login,
) -> Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    found.extend(older_server(session, contents));
    found.extend(missing_roles(session, contents, policies).await?);
    found.extend(privileged::obstacles(session, contents, policies, login).await?);
    found.extend(privileged::missing_providers(session, contents).await?);
    if !login.is_superuser {
        found.extend(not_a_member(session, contents, policies).await?);
    }
    found.extend(missing_extensions(session, contents, login).await?);
    if policies.tablespaces == Policy::Keep {
        found.extend(missing_tablespaces(session, contents).await?);
    }
    found.extend(missing_locale(session, &contents.database).await?);
    found.extend(missing_conversion(session, contents).await?);
    Ok(found)
}

fn older_server(session: &Connection, contents: &Contents) -> Option<Obstacle> {
    let (dumped, here) = (major(contents.origin.server_version), major(session.version()));
    (here < dumped).then(|| Obstacle {
        kind: ErrorKind::Unsupported,
        ..Obstacle::new(
            format!("the dump is of PostgreSQL {dumped}, and the server is of version {here}"),
            "restore into a server of the version that was dumped, or a newer one: an older one is not known to work",
        )
    })
}

/// `15` of `150018`, and `9.6` as 9.
pub(crate) fn major(version: u32) -> u32 {
    version / 10_000
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join("`, `")
}

async fn missing_roles(
    session: &Connection,
    contents: &Contents,
    policies: Policies,
) -> Result<Option<Obstacle>> {
    let needed = roles_of(contents, policies)?;
    let made = |role: &str| contents.roles.iter().any(|archived| archived.name == role);
    let needed: Vec<&str> = needed.iter().map(String::as_str).filter(|role| !made(role)).collect();
    let missing = roles::missing(session, &needed).await?;
    Ok((!missing.is_empty()).then(|| {
        Obstacle::new(
            format!("the server has no roles `{}`", list(missing)),
            "make them, or set `owners: none` and `privileges: none`; a dump with `globals: true` has the roles as well",
        )
    }))
}

/// Only a member of a role may give something to it.
async fn not_a_member(
    session: &Connection,
    contents: &Contents,
    policies: Policies,
) -> Result<Option<Obstacle>> {
    let mut owners: Vec<String> = owners_of(contents, policies).into_iter().collect();
    if policies.privileges == Policy::Keep {
        // Whoever is given something by default later, on behalf of one who makes things.
        let defaults = contents.items.iter().filter(|item| item.kind == "DEFAULT ACL");
        owners.extend(defaults.filter_map(|item| named::maker(&item.sql)));
    }
    let right = if session.version() >= 160_000 { "SET" } else { "MEMBER" };
    let asked = format!(
        "SELECT rolname::text FROM pg_catalog.pg_roles \
         WHERE rolname = ANY ($1) AND NOT pg_catalog.pg_has_role(current_user, oid, '{right}') ORDER BY 1"
    );
    let found = session.query(&asked, &[&owners]).await.map_err(|error| looked(session, error))?;
    let names = list(found.iter().map(|row| row.get(0)));
    Ok((!found.is_empty()).then(|| {
        Obstacle::new(
            format!("the login is no member of the owners `{names}`"),
            "restore as a superuser, grant the login these roles, or set `owners: none`",
        )
    }))
}

async fn missing_extensions(
    session: &Connection,
    contents: &Contents,
    login: &Login,
) -> Result<Vec<Obstacle>> {
    let needed: Vec<&str> = contents
        .items
        .iter()
        .filter(|item| item.kind == "EXTENSION")
        .map(|item| item.name.as_str())
        .collect();
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let trusted = if session.version() >= 130_000 { "v.trusted" } else { "false" };
    let asked = format!(
        "SELECT e.name::text, coalesce(v.superuser AND NOT {trusted}, false) FROM pg_catalog.pg_available_extensions e \
         LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version \
         WHERE e.name = ANY ($1)"
    );
    let found = session.query(&asked, &[&needed]).await.map_err(|error| looked(session, error))?;
    let there = |name: &&str| found.iter().any(|row| row.get::<_, &str>(0) == *name);
    let missing = list(needed.iter().copied().filter(|name| !there(name)));
    let beyond = found.iter().filter(|row| row.get(1)).map(|row| row.get::<_, &str>(0));
    let beyond = list(beyond.filter(|_| !login.is_nearly_superuser));
    let mut obstacles = Vec::new();
    if !missing.is_empty() {
        obstacles.push(Obstacle::new(
            format!("the server has no extensions `{missing}`"),
            "install them on the server",
        ));
    }
    if !beyond.is_empty() {
        obstacles.push(Obstacle::new(
            format!("only a superuser can make the extensions `{beyond}`"),
            "restore as a superuser",
        ));
    }
    Ok(obstacles)
}

async fn missing_tablespaces(session: &Connection, contents: &Contents) -> Result<Option<Obstacle>> {
    let items = contents.items.iter().map(|item| item.tablespace.as_str());
    let needed: BTreeSet<&str> =
        items.chain(contents.database.tablespace.as_deref()).filter(|name| !name.is_empty()).collect();
    let needed: Vec<&str> = needed.into_iter().collect();
    let asked = "SELECT spcname::text FROM pg_catalog.pg_tablespace WHERE spcname = ANY ($1)";
    let found = session.query(asked, &[&needed]).await.map_err(|error| looked(session, error))?;
    let there: Vec<&str> = found.iter().map(|row| row.get(0)).collect();
    let missing = list(needed.into_iter().filter(|name| !there.contains(name)));
    Ok((!missing.is_empty()).then(|| {
        Obstacle::new(
            format!("the server has no tablespaces `{missing}`"),
            "make them, or set `tablespaces: none`",
        )
    }))
}

async fn missing_locale(session: &Connection, database: &Database) -> Result<Option<Obstacle>> {
    let encoding = "SELECT pg_catalog.pg_char_to_encoding($1::text::name)";
    let row =
        session.query_one(encoding, &[&database.encoding]).await.map_err(|error| looked(session, error))?;
    if row.get::<_, i32>(0) < 0 {
        return Ok(Some(Obstacle::new(
            format!("the server has no encoding `{}`", database.encoding),
            "restore into a server that has it",
        )));
    }
    for locale in [&database.collate, &database.ctype] {
        if !has_locale(session, locale).await? {
            return Ok(Some(Obstacle::new(
                format!("the server has no locale `{locale}`"),
                "install it on the server's machine, and start the server anew",
            )));
        }
    }
    let provider = database.locale_provider.as_str();
    let asked = "SELECT EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collprovider = $1)";
    let letter = match provider {
        "icu" => b'i',
        "builtin" => b'b',
        _ => return Ok(None),
    };
    let row = session
        .query_one(asked, &[&i8::from_ne_bytes([letter])])
        .await
        .map_err(|error| looked(session, error))?;
    Ok((!row.get::<_, bool>(0)).then(|| {
        Obstacle::new(
            format!("the server has no locale provider `{provider}`"),
            "restore into a server that was built with it",
        )
    }))
}

/// Rows are archived in the encoding of their database. In another, in place, the server converts them, if it can.
async fn missing_conversion(session: &Connection, contents: &Contents) -> Result<Option<Obstacle>> {
    const BYTES: &str = "SQL_ASCII";
    let into = contents.database.encoding.as_str();
    let tables = contents.tables.iter().filter(|table| !table.parts.is_empty());
    let encodings: BTreeSet<&str> = tables.filter_map(|table| table.encoding.as_deref()).collect();
    for from in encodings.into_iter().filter(|from| *from != into && *from != BYTES && into != BYTES) {
        let asked = "SELECT EXISTS (SELECT FROM pg_catalog.pg_conversion WHERE condefault \
            AND conforencoding = pg_catalog.pg_char_to_encoding($1::text::name) \
            AND contoencoding = pg_catalog.pg_char_to_encoding($2::text::name))";
        let row = session.query_one(asked, &[&from, &into]).await.map_err(|error| looked(session, error))?;
        if !row.get::<_, bool>(0) {
            return Ok(Some(Obstacle::new(
                format!(
                    "the server can't convert rows of the encoding `{from}` to `{into}`, that of the database"
                ),
                "restore without `--in-place`, or into a database of the same encoding, or of `UTF8`",
            )));
        }
    }
    Ok(None)
}

/// Whether the server's machine has it: known from databases and collations, else tried, and taken back.
async fn has_locale(session: &Connection, locale: &str) -> Result<bool> {
    let known = "SELECT $1 IN ('C', 'POSIX') \
        OR EXISTS (SELECT FROM pg_catalog.pg_database WHERE $1 IN (datcollate::text, datctype::text)) \
        OR EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collprovider = 'c' AND collcollate::text = $1)";
    let row = session.query_one(known, &[&locale]).await.map_err(|error| looked(session, error))?;
    if row.get(0) {
        return Ok(true);
    }
    let tried = format!(
        "BEGIN; CREATE COLLATION pg_temp.dumprestore_tries (locale = {}); ROLLBACK",
        crate::quote::literal(locale)
    );
    let done = session.batch_execute(&tried).await;
    let _over = session.batch_execute("ROLLBACK").await;
    // Only a locale that is not there is an answer. A login may lack the right to try: then the restore will tell.
    Ok(!done.is_err_and(|error| error.code().is_some_and(|code| code.code() == "22023")))
}
