//! `init`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use clap::Args;
use dumprestore::{Error, Result};
use serde_json::json;

use crate::console::counted;
use crate::discovery::{Database, Discovery, ServerDatabase};
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  cd /srv/shop && dumprestore init && dumprestore check
  dumprestore init -c config/dumprestore.yaml

Looks below the folder of the configuration for SQLite databases and folders of uploads; and for PostgreSQL, MySQL, MariaDB, Redis and Valkey databases in the environment (DATABASE_URL, PGDATABASE, REDIS_URL and their like), .env files, Compose files and config/database.yml. Passwords are referred to, and never copied. It never overwrites.";

/// Write a commented configuration from what is found here
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Init {}

impl Init {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let path = session.config();
        let folder = session.base()?;
        let found = Discovery::look(&folder, &session.environment)?;
        for file in &found.unread {
            session.console.warn(format!("can't understand `{file}`: add what it has by hand"), None);
        }
        if found.is_empty() {
            return Err(Error::environment("there is nothing here that `init` knows: no database, no folder of uploads")
                .with_context("folder", folder.display())
                .with_hint("run it in the application's folder, or write the configuration by hand: see `dumprestore schema`"));
        }
        let text = Draft::new(&folder, &found).text();
        create(path, &text)?;
        session.console.note(format_args!(
            "found {} and {}; look through `{}`, then run `dumprestore check`",
            counted((found.databases.len() + found.servers.len()) as u64, "database"),
            counted(found.folders.len() as u64, "folder"),
            path.display(),
        ));
        for mixed in &found.mixed {
            let text = format!(
                "`{}` holds a database, and is not taken as a whole: see the comment",
                mixed.display()
            );
            session.console.warn(text, None);
        }
        if found.cut_short {
            session.console.warn("there is more here than `init` looks at: add what it missed", None);
        }
        session.console.print(path.display())?;
        session.ended(Exit::Ok, &json!({ "written": path, "text": text }))
    }
}

fn create(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let made = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::environment("there is a configuration already")
            .with_context("file", path.display())
            .with_hint("`init` never overwrites: move it away, or name another one with `-c FILE`"),
        _ => Error::io("can't write the configuration", error).with_context("file", path.display()),
    })
}

/// A configuration being written.
struct Draft<'a> {
    set: String,
    found: &'a Discovery,
    names: BTreeSet<String>,
}

const HEAD: &str = "\
# What is dumped and restored together. Written by `dumprestore init`; from here on it is yours.
#   dumprestore check     looks at every source and says what is in the way
#   dumprestore plan      shows the order
#   dumprestore dump      before a release
#   dumprestore restore latest     after a bad one
# `dumprestore schema` prints the JSON Schema: all keys, and the options of all drivers.
version: 1
";

const MIDDLE: &str = "
# Where `dump` puts archives and `latest` finds them. They hold everything: another disk is better.
archive:
  to: backups

set:
";

impl<'a> Draft<'a> {
    fn new(folder: &Path, found: &'a Discovery) -> Self {
        let set = folder.file_name().map(|name| node_name(&name.to_string_lossy())).unwrap_or_default();
        Self { set: if set.is_empty() { "app".to_owned() } else { set }, found, names: BTreeSet::new() }
    }

    fn text(mut self) -> String {
        let mut text = format!("{HEAD}name: {}\n{MIDDLE}", scalar(&self.set));
        let folders: Vec<_> = self.found.folders.iter().map(|path| (self.name(path), path)).collect();
        let referent = folders.first().map(|(name, _)| name.as_str());
        for server in &self.found.servers {
            let name = self.name(Path::new(server.node_name()));
            server_node(&mut text, &name, server, referent);
        }
        for database in &self.found.databases {
            let name = self.name(&database.path);
            node(&mut text, &name, "sqlite", &database.path);
            suggest(&mut text, database, referent);
        }
        for (name, path) in &folders {
            node(&mut text, name, "filesystem", path);
            text += "    # exclude: [\"*.tmp\", cache]\n";
        }
        for path in &self.found.mixed {
            let _ = writeln!(
                text,
                "  # {} holds a database, which is a node above. Name the folders beside it:",
                path.display()
            );
            let _ = writeln!(text, "  # - {{ name: ..., driver: filesystem, path: {}/... }}", path.display());
        }
        text
    }

    /// A name that no other node has.
    fn name(&mut self, path: &Path) -> String {
        let stem = path.file_stem().map(|stem| node_name(&stem.to_string_lossy())).unwrap_or_default();
        let stem = if stem.is_empty() { "node".to_owned() } else { stem };
        let candidates = std::iter::once(stem.clone()).chain((2_u64..).map(|nth| format!("{stem}-{nth}")));
        for name in candidates {
            // Names that differ in case only are one.
            if self.names.insert(name.to_lowercase()) {
                return name;
            }
        }
        stem
    }
}

fn node(text: &mut String, name: &str, driver: &str, path: &Path) {
    let path = scalar(&path.to_string_lossy());
    let _ = write!(text, "  - name: {}\n    driver: {driver}\n    path: {path}\n", scalar(name));
}

/// Its values have variables in them, and are text all the same.
fn server_node(text: &mut String, name: &str, server: &ServerDatabase, referent: Option<&str>) {
    let _ = write!(text, "  - name: {}\n    driver: {}\n", scalar(name), server.family.driver());
    for remark in &server.remarks {
        let _ = writeln!(text, "    # {}", remark.replace(char::is_control, " "));
    }
    for (option, value) in &server.options {
        let _ = writeln!(text, "    {option}: {}", json!(value));
    }
    if let Some(referent) = referent.filter(|_| server.family.has_rows()) {
        *text += "    # If rows name files, say so: every dump then proves that none of them is missing.\n";
        *text += "    # references:\n";
        let _ = writeln!(
            text,
            "    #   - {{ to: {referent}, keys: \"SELECT image FROM product WHERE image <> ''\" }}"
        );
    }
}

/// References can't be guessed, only suggested.
fn suggest(text: &mut String, database: &Database, referent: Option<&str>) {
    let Some(referent) = referent.filter(|_| !database.names_of_files.is_empty()) else { return };
    *text += "    # If these rows name files there, say so: every dump then proves that none of them is missing.\n";
    *text += "    # references:\n";
    for (table, column) in &database.names_of_files {
        let (table, column) = (identifier(table), identifier(column));
        let query = json!(format!("SELECT {column} FROM {table} WHERE {column} <> ''"));
        let _ = writeln!(text, "    #   - {{ to: {referent}, keys: {query} }}");
    }
}

/// A name in SQL, in quotes if it needs them.
fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !["order", "group", "index", "table", "transaction", "values"].contains(&&*name.to_lowercase());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Fit for a node or a set: letters, digits, `_` and `-`.
fn node_name(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    name.trim_matches('-').chars().take(60).collect()
}

/// Text as YAML that is nothing but text: no number, no variable.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&&*text.to_lowercase());
    if plain { text.to_owned() } else { json!(text.replace("${", "$${")).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_written_so_that_it_is_read_as_that_text() {
        for (text, written) in [
            ("uploads/a-b.db", "uploads/a-b.db"),
            ("2024", "\"2024\""),
            ("no", "\"no\""),
            ("a b", "\"a b\""),
            ("${HOME}", "\"$${HOME}\""),
            ("it's \"so\": #1", r##""it's \"so\": #1""##),
        ] {
            assert_eq!(scalar(text), written);
        }
    }

    #[test]
    fn any_name_of_a_file_gives_a_name_of_a_node() {
        for (text, name) in
            [("shop", "shop"), ("my shop!", "my-shop"), ("--x", "x"), ("日本", ""), ("a.b", "a-b")]
        {
            assert_eq!(node_name(text), name);
        }
    }
}
