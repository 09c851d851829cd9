//! PostgreSQL in a Compose file.

use std::path::Path;

use super::dotenv::DotEnv;
use super::postgres::PostgresDatabase;
use super::template::Template;
use super::yaml::Yaml;
use super::{read_small, variable_of};

/// In the order in which Compose looks for them; the first is it.
const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// Images that are a server of PostgreSQL, by the last part of their names.
const IMAGES: [&str; 8] =
    ["postgres", "postgresql", "postgis", "pgvector", "timescaledb", "timescaledb-ha", "citus", "paradedb"];
const PORT: &str = "5432";

/// Values of variables, as far as they are known.
type Known<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn look(folder: &Path, known: Known<'_>, unread: &mut Vec<String>) -> Vec<PostgresDatabase> {
    let text = FILES.iter().find_map(|file| Some((*file, read_small(&folder.join(file))?)));
    let Some((file, text)) = text else { return Vec::new() };
    let Some(yaml) = Yaml::parse(&text) else {
        unread.push(file.to_owned());
        return Vec::new();
    };
    let services = yaml.get("services").map(Yaml::entries).unwrap_or_default();
    let servers: Vec<_> = services.iter().filter(|(_, service)| is_server(service)).collect();
    let alone = servers.len() == 1;
    let service = |(name, service): &&(String, Yaml)| {
        Service { folder, file, name, service, all: &yaml, alone }.database(known)
    };
    servers.iter().map(service).collect()
}

fn is_server(service: &Yaml) -> bool {
    let image = service.text_of("image").unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    IMAGES.contains(&last.split([':', '@']).next().unwrap_or_default())
}

struct Service<'a> {
    folder: &'a Path,
    file: &'a str,
    name: &'a str,
    service: &'a Yaml,
    all: &'a Yaml,
    /// Whether it is the only server.
    alone: bool,
}

impl Service<'_> {
    fn database(&self, known: Known<'_>) -> PostgresDatabase {
        let user = self.variable(&["POSTGRES_USER", "POSTGRESQL_USERNAME"]);
        let user = user.unwrap_or_else(|| Template::literal("postgres"));
        let name = self.variable(&["POSTGRES_DB", "POSTGRESQL_DATABASE"]).unwrap_or_else(|| user.clone());
        let mut remarks = vec![format!("From the service `{}` in `{}`.", self.name, self.file)];
        let mut parameters = match self.published() {
            Some((host, port)) => vec![host.parameter("host"), port.parameter("port")],
            None => {
                remarks.push(format!(
                    "It publishes no fixed port: run where `{}` is a host, or have Compose publish {PORT}.",
                    self.name
                ));
                vec![Template::literal(self.name).parameter("host")]
            }
        };
        parameters.extend([user.parameter("user"), name.parameter("dbname")]);
        let mut options = vec![("url", parameters.join(" "))];
        options.extend(self.password(&mut remarks).map(|password| ("password", password)));
        PostgresDatabase { options, remarks, name: name.value(known) }
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
        const FILES: [&str; 2] = ["POSTGRES_PASSWORD_FILE", "POSTGRESQL_PASSWORD_FILE"];
        const VALUES: [&str; 2] = ["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"];
        if let Some(path) = self.variable(&FILES).and_then(|path| self.secret_file(&path)) {
            return Some(format!("file:{}", path.replace("${", "$${")));
        }
        let Some(value) = self.variable(&VALUES) else {
            remarks.push("It has no password there; `PGPASSWORD` and `.pgpass` are heeded.".to_owned());
            return None;
        };
        let variable = value.only_variable().map(str::to_owned).unwrap_or_else(|| {
            let place = self.in_files(&VALUES).map_or_else(|| self.file.to_owned(), |(file, _)| file);
            let variable = if self.alone { VALUES[0].to_owned() } else { variable_of(self.name, VALUES[0]) };
            remarks.push(format!(
                "The password stands in `{place}`: have it in `{variable}` in the environment."
            ));
            variable
        });
        Some(format!("${{{variable}}}"))
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
            Yaml::Text(text) => published(text),
            long => {
                let target = long.text_of("target")? == PORT;
                let host = long.text_of("host_ip").unwrap_or_default();
                let port = long.text_of("published").filter(|_| target)?;
                Some((local(host), Template::parse(port)))
            }
        })
    }
}

/// `[HOST:]PORT:5432[/tcp]`.
fn published(text: &str) -> Option<(Template, Template)> {
    let text = text.strip_suffix("/tcp").unwrap_or(text);
    let here = text.strip_suffix(PORT)?.strip_suffix(':')?;
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
            published(text).map(|(host, port)| format!("{} {}", host.parameter("h"), port.parameter("p")))
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
        let is =
            |image: &str| is_server(&Yaml::Map(vec![("image".to_owned(), Yaml::Text(image.to_owned()))]));
        for image in
            ["postgres", "postgres:16-alpine", "docker.io/library/postgres@sha256:0", "postgis/postgis:16"]
        {
            assert!(is(image), "{image}");
        }
        for image in ["postgrest/postgrest", "dpage/pgadmin4", "quay.io/postgres-exporter:1", "mysql"] {
            assert!(!is(image), "{image}");
        }
    }
}
