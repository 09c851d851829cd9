//! What is particular to PostgreSQL.

use super::server::{Family, Names, Parts, ServerDatabase};
use super::template::Template;
use crate::env::LIBPQ;

pub(super) const NAMES: Names = Names {
    host: &["DB_HOST", "POSTGRES_HOST"],
    port: &["DB_PORT", "POSTGRES_PORT"],
    user: &["DB_USERNAME", "DB_USER", "POSTGRES_USER"],
    database: &["DB_DATABASE", "DB_NAME", "POSTGRES_DB"],
    socket: &[],
    password: &["DB_PASSWORD", "POSTGRES_PASSWORD"],
    own: &["POSTGRES_DB"],
};

/// In libpq's `name=value`.
pub(super) fn url(parts: &Parts) -> String {
    let named =
        [("host", &parts.host), ("port", &parts.port), ("user", &parts.user), ("dbname", &parts.database)];
    let parameters = named.iter().filter_map(|(name, part)| Some(part.as_ref()?.parameter(name)));
    parameters.collect::<Vec<_>>().join(" ")
}

/// What the variables of PostgreSQL's clients say.
pub(super) fn of_libpq(
    get: &dyn Fn(&str) -> Option<String>,
    place: &str,
    remark: Option<String>,
) -> Option<ServerDatabase> {
    let set: Vec<_> =
        LIBPQ.iter().filter(|(name, _)| get(name).is_some_and(|value| !value.is_empty())).collect();
    // A server and a user alone say nothing of a database.
    set.iter().find(|(name, _)| matches!(*name, "PGSERVICE" | "PGDATABASE"))?;
    let url: Vec<String> =
        set.iter().map(|(name, parameter)| Template::variable(name).parameter(parameter)).collect();
    let names: Vec<String> = set.iter().map(|(name, _)| format!("`{name}`")).collect();
    let found = format!(
        "From {} in {place}; `PGPASSWORD`, `.pgpass` and their like are heeded too.",
        names.join(", ")
    );
    Some(ServerDatabase {
        family: Family::Postgres,
        options: vec![("url", url.join(" "))],
        remarks: std::iter::once(found).chain(remark).collect(),
        name: get("PGDATABASE").filter(|name| !name.is_empty()),
    })
}
