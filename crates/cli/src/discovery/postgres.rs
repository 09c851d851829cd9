//! PostgreSQL databases, as the environment and files of an application tell how to reach them.
//!
//! No value that may hold a password is kept: a password is referred to, by a variable or a file.

use std::path::Path;

use dumprestore::Environment;

use super::compose;
use super::dotenv::DotEnv;
use super::rails;
use super::template::Template;
use crate::env::{DATABASE_URLS, LIBPQ};

/// A database, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresDatabase {
    /// The options of its node, as they are written: variables are ours.
    pub(crate) options: Vec<(&'static str, String)>,
    /// What people should know about it, a line each. The first says where it was found.
    pub(crate) remarks: Vec<String>,
    /// How it is called, if that is known.
    pub(crate) name: Option<String>,
}

/// Variables with parts of a connection, as frameworks call them, by parameter.
const PARTS: [(&str, &[&str]); 4] = [
    ("host", &["DB_HOST", "POSTGRES_HOST"]),
    ("port", &["DB_PORT", "POSTGRES_PORT"]),
    ("user", &["DB_USERNAME", "DB_USER", "POSTGRES_USER"]),
    ("dbname", &["DB_DATABASE", "DB_NAME", "POSTGRES_DB"]),
];
const PASSWORDS: [&str; 2] = ["DB_PASSWORD", "POSTGRES_PASSWORD"];
/// Variables that say which kind of database the others are about.
const KINDS: [&str; 4] = ["DB_CONNECTION", "DB_ADAPTER", "DB_ENGINE", "DB_DRIVER"];

/// All that are told of, each once: the nearest place to the running application counts. What is there and can't be
/// read goes to `unread`.
pub(super) fn look(
    folder: &Path,
    environment: &dyn Environment,
    unread: &mut Vec<String>,
) -> Vec<PostgresDatabase> {
    let files = DotEnv::all(folder);
    let known = |name: &str| {
        let in_file = || files.iter().find_map(|file| file.get(name)).map(str::to_owned);
        environment.var(name).or_else(in_file)
    };
    let mut found = of_process(environment);
    found.extend(files.iter().flat_map(of_urls));
    found.extend(compose::look(folder, &known, unread));
    found.extend(files.iter().filter_map(of_parts));
    // Rails itself prefers the variable to its file.
    let replaced = known(DATABASE_URLS[0]).is_some_and(|url| is_postgres(&url));
    found.extend(rails::look(folder, &known, replaced, unread));
    each_once(found)
}

/// A database of a name that was found before is most likely the same, by another way.
fn each_once(found: Vec<PostgresDatabase>) -> Vec<PostgresDatabase> {
    let mut once: Vec<PostgresDatabase> = Vec::new();
    for database in found {
        let same = |other: &&mut PostgresDatabase| {
            other.options == database.options || other.name.is_some() && other.name == database.name
        };
        match (once.iter_mut().find(same), database.remarks.first()) {
            (Some(other), Some(place)) => other.remarks.push(format!("Also: {}", lower(place))),
            _ => once.push(database),
        }
    }
    once
}

fn lower(remark: &str) -> String {
    remark.strip_prefix("From ").map_or_else(|| remark.to_owned(), |place| format!("from {place}"))
}

/// What the variables of this process say.
fn of_process(environment: &dyn Environment) -> Vec<PostgresDatabase> {
    let urls = DATABASE_URLS
        .iter()
        .filter_map(|name| of_url(name, &environment.var(name)?, "the environment", None));
    urls.chain(of_libpq(&|name| environment.var(name), "the environment", None)).collect()
}

/// What a file says in URLs, and in the variables of PostgreSQL's clients.
fn of_urls(file: &DotEnv) -> Vec<PostgresDatabase> {
    let sourced = Some(sourced(&file.file));
    let place = format!("`{}`", file.file);
    let is_real = |name: &str| !name.to_uppercase().contains("TEST");
    let urls = file.iter().filter(|(name, _)| is_real(name));
    let urls = urls.filter_map(|(name, value)| of_url(name, value, &place, sourced.clone()));
    urls.chain(of_libpq(&|name| file.get(name).map(str::to_owned), &place, sourced.clone())).collect()
}

/// Nobody but the application reads such a file.
pub(super) fn sourced(file: &str) -> String {
    format!("Have its variables in the environment: `set -a; . ./{file}; set +a`")
}

pub(super) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn of_url(variable: &str, url: &str, place: &str, remark: Option<String>) -> Option<PostgresDatabase> {
    is_postgres(url).then(|| PostgresDatabase {
        options: vec![("url", format!("${{{variable}}}"))],
        remarks: std::iter::once(format!("From `{variable}` in {place}.")).chain(remark).collect(),
        name: name_in(url),
    })
}

/// The database that a URL names.
pub(super) fn name_in(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['?', '#']).next()?;
    let (_, name) = rest.split_once('/')?;
    // A name with escapes is told from none; it is as good as unknown.
    (!name.is_empty() && !name.contains('%')).then(|| name.to_owned())
}

fn of_libpq(
    get: &dyn Fn(&str) -> Option<String>,
    place: &str,
    remark: Option<String>,
) -> Option<PostgresDatabase> {
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
    Some(PostgresDatabase {
        options: vec![("url", url.join(" "))],
        remarks: std::iter::once(found).chain(remark).collect(),
        name: get("PGDATABASE").filter(|name| !name.is_empty()),
    })
}

/// What a file says in variables for the parts of a connection.
fn of_parts(file: &DotEnv) -> Option<PostgresDatabase> {
    let kind = KINDS.iter().find_map(|name| file.get(name));
    let is_meant = match kind {
        Some(kind) => ["pgsql", "postg"].iter().any(|postgres| kind.to_lowercase().contains(postgres)),
        // Without a kind, only variables that are called after it.
        None => file.get("POSTGRES_DB").is_some(),
    };
    let set = |names: &&'static [&'static str]| names.iter().copied().find(|name| file.get(name).is_some());
    let parts: Vec<(&str, &str)> =
        PARTS.iter().filter_map(|(parameter, names)| Some((*parameter, set(names)?))).collect();
    let name = parts.iter().find(|(parameter, _)| *parameter == "dbname").filter(|_| is_meant)?.1;
    let url: Vec<String> =
        parts.iter().map(|(parameter, name)| Template::variable(name).parameter(parameter)).collect();
    let mut options = vec![("url", url.join(" "))];
    options.extend(set(&&PASSWORDS[..]).map(|password| ("password", format!("${{{password}}}"))));
    let remarks = vec![format!("From `{name}` and others in `{}`.", file.file), sourced(&file.file)];
    Some(PostgresDatabase { options, remarks, name: file.get(name).map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_database() {
        for (url, name) in [
            ("postgres://u:p@h:1/shop?sslmode=require", Some("shop")),
            ("postgresql:///shop", Some("shop")),
            ("postgres://h", None),
            ("postgres://h/", None),
        ] {
            assert_eq!(name_in(url).as_deref(), name, "{url}");
        }
    }
}
