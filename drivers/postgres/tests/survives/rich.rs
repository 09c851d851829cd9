//! A database that has every kind of thing.

use std::io::{Seek, Write};
use std::process::Stdio;

use dumprestore_testkit::{PostgresServer, PostgresVersion};

/// What the roles are called: they belong to the server, and not to the database.
pub const ROLES: [&str; 2] = ["\"one \"\"1%\"", "two"];

/// Fills an empty database with all that the server's version has.
pub fn fill(server: &PostgresServer, database: &str) {
    fill_for(server, database, server.version());
}

/// Fills it with what servers of another version can have as well.
pub fn fill_for(server: &PostgresServer, database: &str, other: PostgresVersion) {
    make_roles(server);
    let own = |sql: &str| {
        let sql = sql.replace("ROLE_ONE", ROLES[0]).replace("ROLE_TWO", ROLES[1]);
        sql.replace("THE_DATABASE", database)
    };
    for (name, sql) in scripts(server.version(), other) {
        run(server, database, name, &own(sql));
    }
}

/// Statement by statement, as `psql` does it.
fn run(server: &PostgresServer, database: &str, name: &str, sql: &str) {
    let mut script = tempfile::tempfile().unwrap();
    script.write_all(sql.as_bytes()).unwrap();
    script.rewind().unwrap();
    let output = PostgresVersion::V18
        .programs()
        .command("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
        .arg(server.folder())
        .args(["-p", &server.port().to_string(), "-f", "-"])
        .env("PGOPTIONS", "-c client_min_messages=error")
        .stdin(Stdio::from(script))
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

pub fn make_roles(server: &PostgresServer) {
    for role in ROLES {
        // Another test may have made it.
        let _there = server.try_batch("postgres", &format!("BEGIN READ WRITE; CREATE ROLE {role}; COMMIT"));
    }
}

/// Names and texts.
fn scripts(version: PostgresVersion, other: PostgresVersion) -> Vec<(&'static str, &'static str)> {
    let major = version.major();
    let has = |versions: &[u32]| versions.contains(&major) && versions.contains(&other.major());
    let mut scripts = vec![
        ("types", include_str!("types.sql")),
        ("tables", include_str!("tables.sql")),
        ("values", include_str!("values.sql")),
    ];
    // The builds of these versions lack the others.
    if has(&[14, 15, 17, 18]) {
        scripts.push(("extensions", include_str!("extensions.sql")));
    }
    if has(&[14, 15, 17]) {
        scripts.push(("xml", include_str!("xml.sql")));
        scripts.push(("icu", include_str!("icu.sql")));
    }
    let since = [
        (15, include_str!("since_15.sql")),
        (16, include_str!("since_16.sql")),
        (17, include_str!("since_17.sql")),
        (18, include_str!("since_18.sql")),
    ];
    scripts.extend(since.iter().filter(|(first, _)| major >= *first).map(|(_, sql)| ("since", *sql)));
    scripts.push(("rights", include_str!("rights.sql")));
    scripts
}
