//! What is particular to MySQL and MariaDB.

use super::server::{Names, Parts};

pub(super) const NAMES: Names = Names {
    host: &["DB_HOST", "MYSQL_HOST", "MARIADB_HOST", "WORDPRESS_DB_HOST"],
    port: &["DB_PORT", "MYSQL_PORT", "MARIADB_PORT"],
    user: &["DB_USERNAME", "DB_USER", "MYSQL_USER", "MARIADB_USER", "WORDPRESS_DB_USER"],
    database: &["DB_DATABASE", "DB_NAME", "MYSQL_DATABASE", "MARIADB_DATABASE", "WORDPRESS_DB_NAME"],
    socket: &["DB_SOCKET"],
    password: &["DB_PASSWORD", "MYSQL_PASSWORD", "MARIADB_PASSWORD", "WORDPRESS_DB_PASSWORD"],
    own: &["MYSQL_DATABASE", "MARIADB_DATABASE", "WORDPRESS_DB_NAME"],
};

/// `mysql://USER@HOST:PORT/DATABASE`, as far as there are such parts.
pub(super) fn url(parts: &Parts) -> String {
    let mut url = "mysql://".to_owned();
    for (part, before, after) in [(&parts.user, "", "@"), (&parts.host, "", ""), (&parts.port, ":", "")] {
        if let Some(part) = part {
            url += &format!("{before}{}{after}", part.in_url());
        }
    }
    url.push('/');
    url += &parts.database.as_ref().map(|database| database.in_url()).unwrap_or_default();
    url + &parts.socket.as_ref().map(|socket| format!("?socket={}", socket.in_url())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::template::Template;
    use super::*;

    #[test]
    fn a_url_has_the_parts_that_there_are() {
        let part = |text: &str| Some(Template::parse(text));
        let parts = Parts { database: part("it's"), ..Parts::default() };
        assert_eq!(url(&parts), "mysql:///it%27s");
        let parts = Parts { host: part("::1"), port: part("${PORT:-3306}"), user: part("a@b"), ..parts };
        assert_eq!(url(&parts), "mysql://a%40b@[::1]:${PORT:-3306}/it%27s");
        let parts = Parts { socket: part("/run/mysqld/s"), database: part("$DB"), ..Parts::default() };
        assert_eq!(url(&parts), "mysql:///${DB}?socket=/run/mysqld/s");
    }
}
