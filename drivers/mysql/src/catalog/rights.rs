//! What a login may do, by what `SHOW GRANTS` says: things that it may not see are left out by a server without a word.

use std::collections::BTreeSet;

use dumprestore_driver::Result;

use crate::connect::{Session, code};

/// What was granted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    grants: Vec<Grant>,
}

/// A right, as the server writes it: `LOCK TABLES`.
type Right = &'static str;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    rights: BTreeSet<String>,
    /// A pattern for names of databases, or `*`.
    database: String,
    /// A table, or `*`.
    table: String,
}

impl Rights {
    /// Those of the session's login, with those of its roles that are in force.
    pub(crate) async fn of(session: &mut Session) -> Result<Self> {
        let mut lines = grants(session, "SHOW GRANTS").await?;
        if !session.server().is_mariadb() {
            // Without the names of the roles, MySQL tells only that there are some.
            let roles = session.rows("SELECT CURRENT_ROLE()").await.unwrap_or_default();
            let roles = roles.first().and_then(|row| row.text(0).ok().map(str::to_owned));
            if let Some(roles) = roles.filter(|roles| roles != "NONE" && !roles.is_empty()) {
                lines
                    .extend(grants(session, &format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")).await?);
            }
        }
        Ok(Self { grants: lines.iter().filter_map(|line| Grant::read(line)).collect() })
    }

    /// Whether it has the right everywhere.
    pub(crate) fn everywhere(&self, right: Right) -> bool {
        self.grants.iter().any(|grant| grant.database == "*" && grant.table == "*" && grant.has(right))
    }

    /// Whether it has the right on all of a database.
    pub(crate) fn on_database(&self, database: &str, right: Right) -> bool {
        self.grants.iter().any(|grant| grant.table == "*" && grant.is_of(database) && grant.has(right))
    }

    /// Whether it has the right on one table.
    pub(crate) fn on_table(&self, database: &str, table: &str, right: Right) -> bool {
        self.on_database(database, right)
            || self
                .grants
                .iter()
                .any(|grant| grant.is_of(database) && grant.table == table && grant.has(right))
    }
}

async fn grants(session: &mut Session, sql: &str) -> Result<Vec<String>> {
    match session.rows(sql).await {
        Ok(rows) => rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect(),
        // A login that is nobody's, as behind some proxies.
        Err(error) if code(&error) == Some(1141) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Grant {
    /// Reads ``GRANT SELECT, INSERT (a) ON `db`.* TO …``. `None`: it is of another kind.
    fn read(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("GRANT ")?;
        let (rights, scope) = rest.split_once(" ON ")?;
        // Of a routine, or who somebody may pass for.
        if rights == "PROXY" || ["PROCEDURE ", "FUNCTION ", "PACKAGE "].iter().any(|of| scope.starts_with(of))
        {
            return None;
        }
        let (database, rest) = name(scope)?;
        let (table, _) = name(rest.strip_prefix('.')?)?;
        let rights = rights.split(", ").map(|right| right.trim().to_uppercase()).collect();
        Some(Self { rights, database, table })
    }

    fn has(&self, right: Right) -> bool {
        self.rights.contains(right) || self.rights.contains("ALL PRIVILEGES") || self.rights.contains("ALL")
    }

    fn is_of(&self, database: &str) -> bool {
        if self.database == "*" {
            return true;
        }
        // Of one table the name is no pattern.
        if self.table != "*" {
            return self.database == database;
        }
        let pattern: Vec<char> = self.database.chars().collect();
        fits(&pattern, &database.chars().collect::<Vec<_>>())
    }
}

/// A name in backticks, or `*`, and what follows.
fn name(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some(("*".to_owned(), rest));
    }
    let mut rest = text.strip_prefix('`')?;
    let mut name = String::new();
    loop {
        let (piece, after) = rest.split_once('`')?;
        name.push_str(piece);
        match after.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// As `LIKE` compares: `%`, `_`, and a backslash before what is meant as it stands.
fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => {
            (0..=text.len()).any(|skipped| text.get(skipped..).is_some_and(|text| fits(rest, text)))
        }
        ['\\', literal, rest @ ..] => {
            text.split_first().is_some_and(|(first, text)| first == literal && fits(rest, text))
        }
        ['_', rest @ ..] => text.split_first().is_some_and(|(_, text)| fits(rest, text)),
        [literal, rest @ ..] => {
            text.split_first().is_some_and(|(first, text)| first == literal && fits(rest, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(lines: &[&str]) -> Rights {
        Rights { grants: lines.iter().filter_map(|line| Grant::read(line)).collect() }
    }

    #[test]
    fn a_right_is_had_where_it_was_granted() {
        let some = rights(&[
            "GRANT RELOAD, BINLOG MONITOR ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*x ON y'",
            "GRANT SELECT, LOCK TABLES ON `shop\\_%`.* TO `a`@`%`",
            "GRANT SELECT (`a`, `b`), TRIGGER ON `other`.`t``1` TO `a`@`%`",
            "GRANT EXECUTE ON PROCEDURE `shop_1`.`p` TO `a`@`%`",
            "GRANT PROXY ON ''@'%' TO `a`@`%` WITH GRANT OPTION",
            "GRANT `role` TO `a`@`%`",
        ]);
        assert!(some.everywhere("RELOAD") && !some.everywhere("SELECT"));
        assert!(some.on_database("shop_1", "LOCK TABLES") && some.on_database("shop_1", "RELOAD"));
        assert!(!some.on_database("shopx1", "SELECT") && !some.on_database("shop_1", "EXECUTE"));
        assert!(some.on_table("other", "t`1", "TRIGGER") && !some.on_table("other", "t`1", "SELECT"));
        assert!(!some.on_database("other", "TRIGGER"));
    }

    #[test]
    fn whoever_has_all_rights_has_each() {
        let all = rights(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert!(all.everywhere("RELOAD") && all.on_table("a", "b", "EVENT"));
        assert!(!rights(&[]).on_database("a", "SELECT"));
    }
}
