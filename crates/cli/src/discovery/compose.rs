//! Databases of servers in a Compose file.

use std::path::Path;

use super::dotenv::DotEnv;
use super::server::{Family, Parts, ServerDatabase};
use super::template::Template;
use super::yaml::Yaml;
use super::{read_small, redis, variable_of};

/// In the order in which Compose looks for them; the first is it.
const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// What a Compose file says of a server, by its family.
struct Server {
    family: Family,
    /// Images, by the last part of their names.
    images: &'static [&'static str],
    port: &'static str,
    /// The variables of the images.
    users: &'static [&'static str],
    /// Who it is without them.
    superuser: &'static str,
    databases: &'static [&'static str],
    passwords: &'static [&'static str],
    /// The one for a password that stands there, if there is only one server.
    password: &'static str,
    /// What clients heed on their own.
    heeded: &'static str,
}

const SERVERS: [Server; 3] = [
    Server {
        family: Family::Postgres,
        images: &[
            "postgres",
            "postgresql",
            "postgis",
            "pgvector",
            "timescaledb",
            "timescaledb-ha",
            "citus",
            "paradedb",
        ],
        port: "5432",
        users: &["POSTGRES_USER", "POSTGRESQL_USERNAME"],
        superuser: "postgres",
        databases: &["POSTGRES_DB", "POSTGRESQL_DATABASE"],
        passwords: &["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"],
        password: "POSTGRES_PASSWORD",
        heeded: "`PGPASSWORD` and `.pgpass`",
    },
    Server {
        family: Family::Mysql,
        images: &["mysql", "mysql-server", "mariadb", "percona", "percona-server"],
        port: "3306",
        // The image's user has no rights beyond the database, which a restore needs: so it is root.
        users: &[],
        superuser: "root",
        databases: &["MYSQL_DATABASE", "MARIADB_DATABASE"],
        passwords: &["MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"],
        password: "MYSQL_ROOT_PASSWORD",
        heeded: "`MYSQL_PWD` and `my.cnf`",
    },
    Server {
        family: Family::Redis,
        images: &["redis", "redis-stack-server", "valkey", "valkey-bundle"],
        port: "6379",
        users: &[],
        superuser: "",
        databases: &[],
        passwords: &["REDIS_PASSWORD", "VALKEY_PASSWORD"],
        password: "REDIS_PASSWORD",
        heeded: "",
    },
];

/// Values of variables, as far as they are known.
type Known<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn look(folder: &Path, known: Known<'_>, unread: &mut Vec<String>) -> Vec<ServerDatabase> {
    let text = FILES.iter().find_map(|file| Some((*file, read_small(&folder.join(file))?)));
    let Some((file, text)) = text else { return Vec::new() };
    let Some(yaml) = Yaml::parse(&text) else {
        unread.push(file.to_owned());
        return Vec::new();
    };
    let services = yaml.get("services").map(Yaml::entries).unwrap_or_default();
    let servers: Vec<_> =
        services.iter().filter_map(|(name, service)| Some((name, service, server_of(service)?))).collect();
    let service = |(name, service, server): &(&String, &Yaml, &'static Server)| {
        let alone = servers.iter().filter(|(_, _, other)| other.family == server.family).count() == 1;
        Service { folder, file, name, service, all: &yaml, alone, server }.database(known)
    };
    servers.iter().map(service).collect()
}

fn server_of(service: &Yaml) -> Option<&'static Server> {
    let image = service.text_of("image")?;
    let last = image.rsplit('/').next()?.split([':', '@']).next()?;
    SERVERS.iter().find(|server| server.images.contains(&last))
}

struct Service<'a> {
    folder: &'a Path,
    file: &'a str,
    name: &'a str,
    service: &'a Yaml,
    all: &'a Yaml,
    /// Whether it is the only server of its family.
    alone: bool,
    server: &'static Server,
}

impl Service<'_> {
    fn database(&self, known: Known<'_>) -> ServerDatabase {
        let family = self.server.family;
        let user = self.variable(self.server.users);
        let user = user.unwrap_or_else(|| Template::literal(self.server.superuser));
        let user = Some(user).filter(|_| family != Family::Redis);
        let mut remarks = vec![format!("From the service `{}` in `{}`.", self.name, self.file)];
        let database =
            self.variable(self.server.databases).or_else(|| self.unnamed(user.as_ref(), &mut remarks));
        let (host, port) = match self.published() {
            Some((host, port)) => (host, Some(port)),
            None => {
                remarks.push(format!(
                    "It publishes no fixed port: run where `{}` is a host, or have Compose publish {}.",
                    self.name, self.server.port
                ));
                (Template::literal(self.name), None)
            }
        };
        let parts = Parts { host: Some(host), port, user, database, socket: None };
        let mut options = vec![("url", family.url(&parts))];
        options.extend(self.password(&mut remarks).map(|password| ("password", password)));
        let value = |part: &Option<Template>| part.as_ref().and_then(|part| part.value(known));
        let name = match family {
            Family::Redis => value(&parts.host).map(|host| {
                redis::place_of(&host, value(&parts.port).as_deref().unwrap_or(self.server.port), "")
            }),
            Family::Postgres | Family::Mysql => value(&parts.database),
        };
        ServerDatabase { family, options, remarks, name }
    }

    /// The database of a service that names none.
    fn unnamed(&self, user: Option<&Template>, remarks: &mut Vec<String>) -> Option<Template> {
        match self.server.family {
            Family::Postgres => user.cloned(),
            // It has numbers, from 0.
            Family::Redis => None,
            Family::Mysql => {
                remarks.push("It names no database: write the name at the end of `url`.".to_owned());
                None
            }
        }
    }

    /// What the service's environment has under the first of these names.
    fn variable(&self, names: &[&str]) -> Option<Template> {
        let own = names.iter().find_map(|name| match self.service.get("environment")? {
            Yaml::List(list) => list.iter().find_map(|entry| match entry.text()?.split_once('=') {
                Some((own, value)) => (own == *name).then(|| Template::parse(value)),
                None => (entry.text() == Some(name)).then(|| Template::variable(name)),
            }),
            map => match map.get(name)?.text()? {
                "" => Some(Template::variable(name)),
                value => Some(Template::parse(value)),
            },
        });
        own.or_else(|| self.in_files(names).map(|(_, value)| Template::literal(&value)))
    }

    /// The file among those that the service takes its environment from, and the value there.
    fn in_files(&self, names: &[&str]) -> Option<(String, String)> {
        let files = self.service.get("env_file").map(Yaml::elements).unwrap_or_default();
        let paths = files.iter().filter_map(|file| file.text().or_else(|| file.text_of("path")));
        paths.filter_map(|path| DotEnv::read(self.folder, path)).find_map(|file| {
            let value = names.iter().find_map(|name| file.get(name))?.to_owned();
            Some((file.file, value))
        })
    }

    /// A reference to the password: never itself.
    fn password(&self, remarks: &mut Vec<String>) -> Option<String> {
        let values = self.server.passwords;
        let files: Vec<String> = values.iter().map(|name| format!("{name}_FILE")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        if let Some(path) = self.variable(&files).and_then(|path| self.secret_file(&path)) {
            return Some(format!("file:{}", path.replace("${", "$${")));
        }
        let Some(value) = self.variable(values).or_else(|| self.password_in_command()) else {
            if self.server.family == Family::Redis {
                return None;
            }
            remarks.push(format!("It has no password there; {} are heeded.", self.server.heeded));
            return None;
        };
        let variable = value.only_variable().map(str::to_owned).unwrap_or_else(|| {
            let place = self.in_files(values).map_or_else(|| self.file.to_owned(), |(file, _)| file);
            let own = self.server.password;
            let variable = if self.alone { own.to_owned() } else { variable_of(self.name, own) };
            remarks.push(format!(
                "The password stands in `{place}`: have it in `{variable}` in the environment."
            ));
            variable
        });
        Some(format!("${{{variable}}}"))
    }

    /// Redis is often told by its command line alone.
    fn password_in_command(&self) -> Option<Template> {
        if self.server.family != Family::Redis {
            return None;
        }
        match self.service.get("command")? {
            Yaml::Text(text) => redis::password_in(&[text]),
            list => {
                redis::password_in(&list.elements().iter().filter_map(|word| word.text()).collect::<Vec<_>>())
            }
        }
    }

    /// The file here that is a secret there.
    fn secret_file(&self, path: &Template) -> Option<String> {
        let path = path.value(&|_| None)?;
        let secret = path.strip_prefix("/run/secrets/")?;
        self.all.get("secrets")?.get(secret)?.text_of("file").map(str::to_owned)
    }

    /// The address and the port on this machine.
    fn published(&self) -> Option<(Template, Template)> {
        self.service.get("ports")?.elements().iter().find_map(|port| match port {
            Yaml::Text(text) => published(text, self.server.port),
            long => {
                let target = long.text_of("target")? == self.server.port;
                let host = long.text_of("host_ip").unwrap_or_default();
                let port = long.text_of("published").filter(|_| target)?;
                Some((local(host), Template::parse(port)))
            }
        })
    }
}

/// `[HOST:]PORT:5432[/tcp]`, where the last is the server's own.
fn published(text: &str, own: &str) -> Option<(Template, Template)> {
    let text = text.strip_suffix("/tcp").unwrap_or(text);
    let here = text.strip_suffix(own)?.strip_suffix(':')?;
    // A variable may have a colon in it.
    let end = here.find("${").unwrap_or(here.len());
    let (host, port) = match here.get(..end)?.rfind(':') {
        Some(colon) => here.split_at(colon + 1),
        None => ("", here),
    };
    (!port.is_empty()).then(|| (local(host.trim_end_matches(':')), Template::parse(port)))
}

/// Where to reach what listens there, from this machine.
fn local(host: &str) -> Template {
    match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "0.0.0.0" | "::" => Template::literal("127.0.0.1"),
        host => Template::parse(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_are_read_in_all_their_forms() {
        let of = |text: &str| {
            published(text, "5432")
                .map(|(host, port)| format!("{} {}", host.parameter("h"), port.parameter("p")))
        };
        for (text, read) in [
            ("5432:5432", Some("h=127.0.0.1 p=5432")),
            ("127.0.0.2:5433:5432/tcp", Some("h=127.0.0.2 p=5433")),
            ("0.0.0.0:5433:5432", Some("h=127.0.0.1 p=5433")),
            ("[::1]:5433:5432", Some("h=::1 p=5433")),
            ("${PORT:-5434}:5432", Some("h=127.0.0.1 p='${PORT:-5434}'")),
            ("127.0.0.1:${PORT}:5432", Some("h=127.0.0.1 p='${PORT}'")),
            ("5432", None),
            ("15432", None),
            ("8080:80", None),
        ] {
            assert_eq!(of(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn only_servers_are_servers() {
        let family = |image: &str| {
            let service = Yaml::Map(vec![("image".to_owned(), Yaml::Text(image.to_owned()))]);
            server_of(&service).map(|server| server.family)
        };
        for image in
            ["postgres", "postgres:16-alpine", "docker.io/library/postgres@sha256:0", "postgis/postgis:16"]
        {
            assert_eq!(family(image), Some(Family::Postgres), "{image}");
        }
        for image in [
            "mysql:8.4",
            "docker.io/library/mariadb@sha256:0",
            "bitnami/mariadb",
            "percona/percona-server:8.0",
        ] {
            assert_eq!(family(image), Some(Family::Mysql), "{image}");
        }
        for image in
            ["postgrest/postgrest", "dpage/pgadmin4", "quay.io/postgres-exporter:1", "prom/mysqld-exporter"]
        {
            assert_eq!(family(image), None, "{image}");
        }
    }
}
