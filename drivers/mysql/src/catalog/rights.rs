//! What a login may do, by what `SHOW GRANTS` says: things that it may not see are left out by a server without a word.

use std::collections::BTreeSet;

use dumprestore_driver::Result;

use crate::connect::{Session, code};

/// What was granted.
///
/// Rights on all databases count together with those on one; but of several grants on databases whose names fit, a server
/// uses the one with the most exact name alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    grants: Vec<Grant>,
    /// What was taken away from that: `REVOKE` of MySQL, for some databases.
    taken: Vec<Grant>,
    /// Whether `%` and `_` stand for themselves in names of databases: MySQL with `partial_revokes`.
    literal: bool,
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
    holder: Holder,
}

/// Who has it. What each has counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Login,
    /// All roles: a role has what was granted to its own roles as well.
    Roles,
    Public,
}

impl Rights {
    /// Those of the session's login, with those of its roles that are in force.
    pub(crate) async fn of(session: &mut Session) -> Result<Self> {
        if session.server().is_mariadb() {
            return Ok(Self::read(&grants(session, "SHOW GRANTS").await?, false));
        }
        // Without the names of the roles, MySQL tells only that there are some.
        let roles = session.rows("SELECT CURRENT_ROLE()").await.unwrap_or_default();
        let roles = roles.first().and_then(|row| row.text(0).ok().map(str::to_owned));
        let lines = match roles.filter(|roles| roles != "NONE" && !roles.is_empty()) {
            Some(roles) => grants(session, &format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")).await?,
            None => grants(session, "SHOW GRANTS").await?,
        };
        let literal = session.rows("SHOW VARIABLES LIKE 'partial_revokes'").await?;
        let literal = literal.first().is_some_and(|row| row.bytes(1) == Some(b"ON"));
        Ok(Self::read(&lines, literal))
    }

    fn read(lines: &[String], literal: bool) -> Self {
        let mut rights = Self { literal, ..Self::default() };
        for line in lines {
            match line.split_once(' ') {
                Some(("GRANT", rest)) => rights.grants.extend(Grant::read(rest)),
                // Says which role is in force at the login.
                Some(("SET", _)) => {}
                // `REVOKE`, or what else a newer server may have: what is not understood takes everything.
                _ => {
                    let rest = line.split_once(' ').map(|(_, rest)| rest).unwrap_or_default();
                    rights.taken.push(Grant::read(rest).unwrap_or_else(Grant::of_all));
                }
            }
        }
        rights
    }

    /// Whether it has the right everywhere, but perhaps in some databases.
    pub(crate) fn everywhere(&self, right: Right) -> bool {
        self.grants.iter().any(|grant| grant.database == "*" && grant.table == "*" && grant.has(right))
    }

    /// Whether it has the right everywhere, with no exception.
    pub(crate) fn everywhere_indeed(&self, right: Right) -> bool {
        self.everywhere(right) && !self.taken.iter().any(|taken| taken.has(right))
    }

    /// Whether it has the right everywhere, and that database is none of those that it does not have it in.
    pub(crate) fn everywhere_and_in(&self, database: &str, right: Right) -> bool {
        self.everywhere(right) && !self.is_taken(database, right)
    }

    /// Whether it has the right on all of a database.
    pub(crate) fn on_database(&self, database: &str, right: Right) -> bool {
        let holders = [Holder::Login, Holder::Roles, Holder::Public];
        !self.is_taken(database, right)
            && (self.everywhere(right)
                || holders.into_iter().any(|holder| self.granted_on(holder, database, right)))
    }

    /// Whether it has the right on one table.
    pub(crate) fn on_table(&self, database: &str, table: &str, right: Right) -> bool {
        self.on_database(database, right)
            || (!self.is_taken(database, right)
                && self.grants.iter().any(|grant| {
                    // Of one table the name of its database is no pattern.
                    grant.database == database && grant.table == table && grant.has(right)
                }))
    }

    /// Whether the grant on databases that counts for this one has the right.
    fn granted_on(&self, holder: Holder, database: &str, right: Right) -> bool {
        let fitting: Vec<&Grant> = self
            .grants
            .iter()
            .filter(|grant| grant.holder == holder && grant.is_of_databases() && self.fits(grant, database))
            .collect();
        let exact = |grant: &&Grant| self.exactness(&grant.database);
        let Some(most) = fitting.iter().map(exact).max() else { return false };
        // Which one counts of two that are as exact is the server's secret.
        let mut names: Vec<&str> = Vec::new();
        for grant in fitting.iter().filter(|grant| exact(grant) == most) {
            names.push(&grant.database);
        }
        names.into_iter().all(|name| fitting.iter().any(|grant| grant.database == name && grant.has(right)))
    }

    fn is_taken(&self, database: &str, right: Right) -> bool {
        self.taken
            .iter()
            .any(|taken| (taken.database == "*" || self.fits(taken, database)) && taken.has(right))
    }

    fn fits(&self, grant: &Grant, database: &str) -> bool {
        if self.literal {
            return grant.database.replace("\\_", "_").replace("\\%", "%") == database;
        }
        let pattern: Vec<char> = grant.database.chars().collect();
        fits(&pattern, &database.chars().collect::<Vec<_>>())
    }

    /// As servers sort names of databases: those without `%` and `_` first, and then those where the first comes latest.
    fn exactness(&self, pattern: &str) -> usize {
        let mut escaped = false;
        for (at, byte) in pattern.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'%' | b'_' if !self.literal => return at,
                _ => {}
            }
        }
        usize::MAX
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
    /// Reads ``SELECT, INSERT (a) ON `db`.* TO …``. `None`: it is of another kind.
    fn read(text: &str) -> Option<Self> {
        let (rights, scope) = text.split_once(" ON ")?;
        // A role; or of a routine, or who somebody may pass for.
        if rights.starts_with(['`', '\''])
            || rights == "PROXY"
            || ["PROCEDURE ", "FUNCTION ", "PACKAGE "].iter().any(|of| scope.starts_with(of))
        {
            return None;
        }
        let (database, rest) = name(scope)?;
        let (table, rest) = name(rest.strip_prefix('.')?)?;
        let rights = rights.split(", ").map(|right| right.trim().to_uppercase()).collect();
        Some(Self { rights, database, table, holder: Holder::read(rest) })
    }

    /// Every right, everywhere.
    fn of_all() -> Self {
        let all = || "*".to_owned();
        let rights = BTreeSet::from(["ALL PRIVILEGES".to_owned()]);
        Self { rights, database: all(), table: all(), holder: Holder::Login }
    }

    fn has(&self, right: Right) -> bool {
        self.rights.contains(right) || self.rights.contains("ALL PRIVILEGES") || self.rights.contains("ALL")
    }

    fn is_of_databases(&self) -> bool {
        self.database != "*" && self.table == "*"
    }
}

impl Holder {
    /// Reads `` TO `login`@`host` …``.
    fn read(text: &str) -> Self {
        let text = text.trim_start_matches(" TO ");
        let text = text.split(" WITH ").next().unwrap_or_default();
        match text.trim_matches('`') {
            "PUBLIC" => Self::Public,
            _ if text.contains('@') => Self::Login,
            _ => Self::Roles,
        }
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
        of_mysql(lines, false)
    }

    fn of_mysql(lines: &[&str], literal: bool) -> Rights {
        Rights::read(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), literal)
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

    #[test]
    fn of_several_databases_that_fit_the_most_exact_name_counts_alone() {
        let some = rights(&[
            "GRANT RELOAD ON *.* TO `a`@`%`",
            "GRANT ALL PRIVILEGES ON `sh%`.* TO `a`@`%`",
            "GRANT EVENT, SELECT ON `sho%`.* TO `a`@`%` WITH GRANT OPTION",
            "GRANT SELECT ON `shop`.* TO `a`@`%`",
            "GRANT INSERT ON `shop\\_1`.* TO `a`@`%`",
            "GRANT TRIGGER ON `shop`.`t` TO `a`@`%`",
        ]);
        assert!(some.on_database("shop", "SELECT") && !some.on_database("shop", "EVENT"));
        assert!(some.on_database("shop", "RELOAD") && some.on_table("shop", "t", "TRIGGER"));
        assert!(some.on_database("shops", "EVENT") && !some.on_database("shops", "TRIGGER"));
        assert!(some.on_database("shy", "TRIGGER"));
        assert!(some.on_database("shop_1", "INSERT") && !some.on_database("shop_1", "SELECT"));
        // What one of two has that are as exact is not sure.
        let two =
            rights(&["GRANT SELECT, EVENT ON `sho_`.* TO `a`@`%`", "GRANT SELECT ON `sho%`.* TO `a`@`%`"]);
        assert!(two.on_database("shop", "SELECT") && !two.on_database("shop", "EVENT"));
    }

    #[test]
    fn a_role_adds_to_what_a_login_has() {
        let some = rights(&[
            "GRANT `reader` TO `a`@`%`",
            "GRANT SELECT ON `shop`.* TO `a`@`%`",
            "GRANT EVENT ON `sho%`.* TO `reader`",
            "GRANT TRIGGER ON `s%`.* TO `PUBLIC`",
            "GRANT INSERT ON `s%`.* TO `reader`",
            "SET DEFAULT ROLE `reader` FOR `a`@`%`",
        ]);
        for right in ["SELECT", "EVENT", "TRIGGER"] {
            assert!(some.on_database("shop", right), "{right}");
        }
        assert!(!some.on_database("shop", "INSERT"));
    }

    #[test]
    fn what_was_taken_in_a_database_is_not_had_there() {
        let lines = [
            "GRANT SELECT, TRIGGER, EVENT ON *.* TO `a`@`%`",
            "GRANT SELECT ON `other_1`.`t` TO `a`@`%`",
            "REVOKE TRIGGER, EVENT ON `shop_1`.* FROM `a`@`%`",
        ];
        let some = of_mysql(&lines, true);
        assert!(some.everywhere_indeed("SELECT") && !some.everywhere_indeed("EVENT"));
        assert!(some.on_database("shop_1", "SELECT") && !some.on_database("shop_1", "EVENT"));
        assert!(!some.on_table("shop_1", "t", "TRIGGER") && !some.everywhere_and_in("shop_1", "EVENT"));
        assert!(some.on_database("shopx1", "EVENT") && some.everywhere("EVENT"));
        // What is not understood gives nothing.
        assert!(
            !rights(&["GRANT ALL PRIVILEGES ON *.* TO `a`@`%`", "DENY SOMETHING"]).on_database("a", "EVENT")
        );
        assert!(!of_mysql(&["GRANT EVENT ON `shop%`.* TO `a`@`%`"], true).on_database("shops", "EVENT"));
    }
}
