//! Databases of servers, as the environment and files of an application tell how to reach them.
//!
//! No value that may hold a password is kept: a password is referred to, by a variable or a file.

use std::path::Path;

use dumprestore::Environment;

use super::dotenv::DotEnv;
use super::template::Template;
use super::{compose, mysql, postgres, rails, redis};
use crate::env::DATABASE_URLS;

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Postgres,
    /// Of MySQL or MariaDB.
    Mysql,
    /// Of Redis or Valkey.
    Redis,
}

/// A database, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerDatabase {
    pub(crate) family: Family,
    /// The options of its node, as they are written: variables are ours.
    pub(crate) options: Vec<(&'static str, String)>,
    /// What people should know about it, a line each. The first says where it was found.
    pub(crate) remarks: Vec<String>,
    /// How it is called, if that is known. What tells a database of Redis from others is where it is.
    pub(crate) name: Option<String>,
}

impl ServerDatabase {
    /// What a node for it may be called.
    pub(crate) fn node_name(&self) -> &str {
        match (self.family, &self.name) {
            (Family::Redis, _) => "redis",
            (_, Some(name)) => name,
            (_, None) => "db",
        }
    }
}

/// The parts of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    pub(super) host: Option<Template>,
    pub(super) port: Option<Template>,
    pub(super) user: Option<Template>,
    pub(super) database: Option<Template>,
    pub(super) socket: Option<Template>,
}

/// Variables with parts of a connection, as frameworks call them.
pub(super) struct Names {
    pub(super) host: &'static [&'static str],
    pub(super) port: &'static [&'static str],
    pub(super) user: &'static [&'static str],
    pub(super) database: &'static [&'static str],
    pub(super) socket: &'static [&'static str],
    pub(super) password: &'static [&'static str],
    /// Those for databases that no others are called by.
    pub(super) own: &'static [&'static str],
}

/// Variables that say which kind of database the others are about.
const KINDS: [&str; 4] = ["DB_CONNECTION", "DB_ADAPTER", "DB_ENGINE", "DB_DRIVER"];

impl Family {
    pub(super) const ALL: [Self; 3] = [Self::Postgres, Self::Mysql, Self::Redis];

    /// The driver of its nodes.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        }
    }

    /// Whether its databases have rows, which SQL asks for.
    pub(crate) fn has_rows(self) -> bool {
        self != Self::Redis
    }

    /// That of a URL.
    pub(super) fn of_url(url: &str) -> Option<Self> {
        match url.split_once("://")?.0 {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" | "mysql2" | "trilogy" => Some(Self::Mysql),
            "redis" | "rediss" | "valkey" | "valkeys" | "redis-sentinel" | "redis+unix" => Some(Self::Redis),
            _ => None,
        }
    }

    /// That of an adapter of Rails.
    pub(super) fn of_adapter(adapter: &str) -> Option<Self> {
        match adapter {
            "postgresql" | "postgis" => Some(Self::Postgres),
            "mysql2" | "trilogy" => Some(Self::Mysql),
            _ => None,
        }
    }

    /// The option `url` of a node.
    pub(super) fn url(self, parts: &Parts) -> String {
        match self {
            Self::Postgres => postgres::url(parts),
            Self::Mysql => mysql::url(parts),
            Self::Redis => redis::url(parts),
        }
    }

    fn names(self) -> &'static Names {
        match self {
            Self::Postgres => &postgres::NAMES,
            Self::Mysql => &mysql::NAMES,
            Self::Redis => &redis::NAMES,
        }
    }

    fn is_kind(self, kind: &str) -> bool {
        let words: &[&str] = match self {
            Self::Postgres => &["pgsql", "postg"],
            Self::Mysql => &["mysql", "mariadb"],
            Self::Redis => &["redis", "valkey"],
        };
        words.iter().any(|word| kind.to_lowercase().contains(word))
    }
}

/// All that are told of, each once: the nearest place to the running application counts. What is there and can't be
/// read goes to `unread`.
pub(super) fn look(
    folder: &Path,
    environment: &dyn Environment,
    unread: &mut Vec<String>,
) -> Vec<ServerDatabase> {
    let files = DotEnv::all(folder);
    let known = |name: &str| {
        let in_file = || files.iter().find_map(|file| file.get(name)).map(str::to_owned);
        environment.var(name).or_else(in_file)
    };
    let mut places = vec![of_process(environment)];
    places.extend(files.iter().map(of_urls));
    places.push(compose::look(folder, &known, unread));
    places.extend(
        files
            .iter()
            .map(|file| Family::ALL.into_iter().filter_map(|family| of_parts(family, file)).collect()),
    );
    // Rails itself prefers the variable to its file.
    let replaced = known(DATABASE_URLS[0]).is_some_and(|url| Family::of_url(&url).is_some());
    places.push(rails::look(folder, &known, replaced, unread));
    redis::keep_nearest(&mut places);
    each_once(places.into_iter().flatten().collect())
}

/// A database of a name that was found before is most likely the same, by another way.
fn each_once(found: Vec<ServerDatabase>) -> Vec<ServerDatabase> {
    let mut once: Vec<ServerDatabase> = Vec::new();
    for database in found {
        let same = |other: &&mut ServerDatabase| {
            let named = other.name.is_some() && other.name == database.name;
            other.family == database.family && (named || other.options == database.options)
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
fn of_process(environment: &dyn Environment) -> Vec<ServerDatabase> {
    let urls = DATABASE_URLS
        .iter()
        .filter_map(|name| of_url(name, &environment.var(name)?, "the environment", None));
    urls.chain(postgres::of_libpq(&|name| environment.var(name), "the environment", None)).collect()
}

/// What a file says in URLs, and in the variables of PostgreSQL's clients.
fn of_urls(file: &DotEnv) -> Vec<ServerDatabase> {
    let sourced = Some(sourced(&file.file));
    let place = format!("`{}`", file.file);
    let is_real = |name: &str| !name.to_uppercase().contains("TEST");
    let urls = file.iter().filter(|(name, _)| is_real(name));
    let urls = urls.filter_map(|(name, value)| of_url(name, value, &place, sourced.clone()));
    let of_libpq = postgres::of_libpq(&|name| file.get(name).map(str::to_owned), &place, sourced.clone());
    urls.chain(of_libpq).collect()
}

/// Nobody but the application reads such a file.
pub(super) fn sourced(file: &str) -> String {
    format!("Have its variables in the environment: `set -a; . ./{file}; set +a`")
}

fn of_url(variable: &str, url: &str, place: &str, remark: Option<String>) -> Option<ServerDatabase> {
    Some(ServerDatabase {
        family: Family::of_url(url)?,
        options: vec![("url", format!("${{{variable}}}"))],
        remarks: std::iter::once(format!("From `{variable}` in {place}.")).chain(remark).collect(),
        name: match Family::of_url(url)? {
            Family::Redis => redis::place_in(url),
            Family::Postgres | Family::Mysql => name_in(url),
        },
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

/// What a file says in variables for the parts of a connection.
fn of_parts(family: Family, file: &DotEnv) -> Option<ServerDatabase> {
    if family == Family::Redis {
        return redis::of_parts(file);
    }
    let names = family.names();
    let set = |names: &[&'static str]| names.iter().copied().find(|name| file.get(name).is_some());
    let is_meant = match KINDS.iter().find_map(|name| file.get(name)) {
        Some(kind) => family.is_kind(kind),
        // Without a kind, only variables that are called after it.
        None => set(names.own).is_some(),
    };
    let name = set(names.database).filter(|_| is_meant)?;
    let variable = |names: &[&'static str]| set(names).map(Template::variable);
    let parts = Parts {
        host: variable(names.host),
        port: variable(names.port),
        user: variable(names.user),
        database: Some(Template::variable(name)),
        socket: variable(names.socket),
    };
    let mut options = vec![("url", family.url(&parts))];
    options.extend(set(names.password).map(|password| ("password", format!("${{{password}}}"))));
    let remarks = vec![format!("From `{name}` and others in `{}`.", file.file), sourced(&file.file)];
    Some(ServerDatabase { family, options, remarks, name: file.get(name).map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_database() {
        for (url, name) in [
            ("postgres://u:p@h:1/shop?sslmode=require", Some("shop")),
            ("postgresql:///shop", Some("shop")),
            ("mysql://u:p@h/shop?charset=utf8mb4", Some("shop")),
            ("postgres://h", None),
            ("postgres://h/", None),
            ("postgres://h/a%20b", None),
        ] {
            assert_eq!(name_in(url).as_deref(), name, "{url}");
        }
    }
}
