//! What is particular to Redis and Valkey.

use super::dotenv::DotEnv;
use super::server::{Family, Names, Parts, ServerDatabase, sourced};
use super::template::Template;

pub(super) const NAMES: Names = Names {
    host: &["REDIS_HOST", "VALKEY_HOST"],
    port: &["REDIS_PORT", "VALKEY_PORT"],
    user: &["REDIS_USERNAME", "REDIS_USER", "VALKEY_USERNAME"],
    database: &["REDIS_DB", "VALKEY_DB"],
    socket: &[],
    password: &["REDIS_PASSWORD", "VALKEY_PASSWORD"],
    own: &["REDIS_HOST", "VALKEY_HOST"],
};

/// `redis://HOST:PORT/INDEX`, as far as there are such parts. The user is an option of its own, as the password is.
pub(super) fn url(parts: &Parts) -> String {
    let mut url = "redis://".to_owned();
    for (part, before) in [(&parts.host, ""), (&parts.port, ":")] {
        if let Some(part) = part {
            url += &format!("{before}{}", part.in_url());
        }
    }
    let index = parts.database.as_ref().map_or_else(|| "0".to_owned(), Template::in_url);
    format!("{url}/{index}")
}

/// What tells a database from others, of its URL: never shown, since who knows where in it the password is.
pub(super) fn place_in(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['?', '#']).next()?;
    let (_, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (server, index) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = server.split_once(':').unwrap_or((server, "6379"));
    Some(place_of(host, port, index))
}

/// The same, of its parts.
pub(super) fn place_of(host: &str, port: &str, index: &str) -> String {
    let host = if matches!(host, "localhost" | "") { "127.0.0.1" } else { host };
    format!("{}:{port}/{}", host.to_lowercase(), if index.is_empty() { "0" } else { index })
}

/// What a file says in variables for the parts of a connection.
pub(super) fn of_parts(file: &DotEnv) -> Option<ServerDatabase> {
    // Frameworks write `null` for none.
    let set = |names: &[&'static str]| {
        names.iter().copied().find(|name| file.get(name).is_some_and(|value| value != "null"))
    };
    let host = set(NAMES.host)?;
    let variable = |names: &[&'static str]| set(names).map(Template::variable);
    let parts = Parts {
        host: Some(Template::variable(host)),
        port: variable(NAMES.port),
        database: variable(NAMES.database),
        ..Parts::default()
    };
    let value = |names: &[&'static str], default: &str| {
        set(names).and_then(|name| file.get(name)).unwrap_or(default).to_owned()
    };
    let place =
        place_of(file.get(host).unwrap_or_default(), &value(NAMES.port, "6379"), &value(NAMES.database, "0"));
    let mut options = vec![("url", url(&parts))];
    for (option, names) in [("user", NAMES.user), ("password", NAMES.password)] {
        options.extend(set(names).map(|name| (option, format!("${{{name}}}"))));
    }
    // Servers take a user from nobody without a password.
    if options.iter().all(|(option, _)| *option != "password") {
        options.retain(|(option, _)| *option != "user");
    }
    let remarks = vec![format!("From `{host}` and others in `{}`.", file.file), sourced(&file.file)];
    Some(ServerDatabase { family: Family::Redis, options, remarks, name: Some(place) })
}

/// Of several places that tell of servers, the nearest to the running application counts: how one of them is called from
/// elsewhere can't be told from another.
pub(super) fn keep_nearest(places: &mut [Vec<ServerDatabase>]) {
    let is_redis = |database: &ServerDatabase| database.family == Family::Redis;
    let nearest = places.iter().position(|place| place.iter().any(is_redis));
    for place in places.iter_mut().skip(nearest.map_or(usize::MAX, |nearest| nearest.saturating_add(1))) {
        place.retain(|database| !is_redis(database));
    }
}

/// The password that a service's command gives to the server.
pub(super) fn password_in(command: &[&str]) -> Option<Template> {
    let words: Vec<&str> = command.iter().flat_map(|text| text.split_whitespace()).collect();
    let at = words.iter().position(|word| word.trim_matches(['"', '\'']) == "--requirepass")?;
    let value = words.get(at + 1)?.trim_matches(['"', '\'']);
    // Compose itself replaces one `$`; of two, the shell in the container replaces the other.
    Some(Template::parse(&value.replace("$$", "$")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_the_same_database_are_the_same() {
        let same = "127.0.0.1:6379/0";
        for url in
            ["redis://localhost", "redis://:p%40w@127.0.0.1:6379/0?x=y", "valkey://u:p@w@LOCALHOST:6379/"]
        {
            assert_eq!(place_in(&url.to_lowercase()).as_deref(), Some(same), "{url}");
        }
        assert_ne!(place_in("redis://localhost/1").as_deref(), Some(same));
    }

    #[test]
    fn a_password_in_a_command_is_found() {
        let variable = |command: &[&str]| {
            password_in(command).and_then(|found| found.only_variable().map(str::to_owned))
        };
        let secret = Some("SECRET".to_owned());
        assert_eq!(variable(&["redis-server --appendonly yes --requirepass \"${SECRET:?}\""]), secret);
        assert_eq!(variable(&["redis-server", "--requirepass", "$SECRET"]), secret);
        assert_eq!(variable(&["sh", "-c", "exec redis-server --requirepass $$SECRET"]), secret);
        assert!(password_in(&["redis-server", "--requirepass", "written"]).is_some());
        assert!(password_in(&["redis-server"]).is_none());
    }
}
