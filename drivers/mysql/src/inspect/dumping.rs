//! What would be in the way of a dump.

use dumprestore_driver::{Problem, Result};

use super::server::Server;
use super::{Declared, problem, some_of};
use crate::catalog::{self, Kind, Relation};
use crate::config::{NonTransactional, Setup};
use crate::connect::Session;
use crate::dump::{Choice, Chosen, may_list_routines};

/// Sessions that a dump opens beside its lanes at the most: for the lock of the cut, and for tables without transactions.
const BESIDE_LANES: i64 = 2;

pub(super) struct Looking<'a> {
    pub(super) setup: &'a Setup,
    pub(super) server: &'a Server,
    pub(super) database: &'a str,
    pub(super) relations: &'a [Relation],
}

impl Looking<'_> {
    pub(super) async fn problems(&self, session: &mut Session, declared: &Declared) -> Result<Vec<Problem>> {
        let chosen = match Choice::of(self.setup).pick(self.relations) {
            Ok(chosen) => chosen,
            // A pattern that fits nothing.
            Err(error) => return Ok(vec![problem(Problem::no_dump, &error)]),
        };
        let mut problems = Vec::new();
        problems.extend(self.unseen());
        problems.extend(self.unopened(&chosen));
        problems.extend(self.unreadable(&chosen));
        problems.extend(self.non_transactional(&chosen));
        problems.extend(self.lost_history(&chosen));
        problems.extend(self.single_connection());
        problems.extend(self.connections());
        problems.extend(self.loose_keys(session, &chosen).await?);
        problems.extend(self.programs(session, &chosen).await?);
        problems.extend(declared.problems(session, self.database, &chosen).await);
        Ok(problems)
    }

    fn names(&self, meant: impl Fn(&Relation) -> bool) -> Option<Vec<String>> {
        let names: Vec<_> =
            self.relations.iter().filter(|one| meant(one)).map(|one| one.name.clone()).collect();
        (!names.is_empty()).then_some(names)
    }

    /// Tables that were not granted are not even listed.
    fn unseen(&self) -> Option<Problem> {
        let named = !self.setup.tables.is_empty();
        (!named && !self.server.rights.on_database(self.database, "SELECT")).then(|| {
            Problem::no_dump("this login sees only those tables that were granted to it one by one")
                .with_hint("grant it `SELECT` on the database, or name what is to be dumped in `tables`")
        })
    }

    fn unopened(&self, chosen: &Chosen) -> Option<Problem> {
        let names = self.names(|one| one.is_table() && one.engine.is_none() && !chosen.omits(&one.name))?;
        Some(
            Problem::no_dump(format!("the server can't open {}", some_of(&names)))
                .with_hint("repair them, or leave them out with `exclude_tables`"),
        )
    }

    fn unreadable(&self, chosen: &Chosen) -> Option<Problem> {
        let rights = &self.server.rights;
        let names = self.names(|one| {
            one.is_table()
                && chosen.has_rows_of(&one.name)
                && !rights.on_table(self.database, &one.name, "SELECT")
        })?;
        Some(
            Problem::no_dump(format!("this login may not read {}", some_of(&names)))
                .with_hint("grant it `SELECT`, use another login, or leave them out with `exclude_tables`"),
        )
    }

    fn non_transactional(&self, chosen: &Chosen) -> Option<Problem> {
        let names = self.names(|one| {
            one.is_table() && !one.transactional && !one.is_a_window() && chosen.has_rows_of(&one.name)
        })?;
        let what = format!("the engine has no transactions: {}", some_of(&names));
        let may_lock = self.server.rights.on_database(self.database, "LOCK TABLES");
        Some(match self.setup.non_transactional {
            NonTransactional::Lock if may_lock => Problem::warning(what).with_hint(
                "their writers wait until they are dumped: convert them to InnoDB, or let writers go on with \
                 `non_transactional: live`, which degrades the dump",
            ),
            NonTransactional::Lock => Problem::no_dump(format!("{what}; and this login may not lock them")).with_hint(
                "grant it `LOCK TABLES` on the database, convert them to InnoDB, or set `non_transactional: live`",
            ),
            NonTransactional::Live => Problem::warning(what)
                .with_hint("they are dumped as they are while others write, and the dump is degraded: convert them to InnoDB"),
        })
    }

    fn lost_history(&self, chosen: &Chosen) -> Option<Problem> {
        if self.server.version.is_mariadb_since(10, 11, 0) {
            return None;
        }
        let names = self.names(|one| one.kind == Kind::Versioned && chosen.has_rows_of(&one.name))?;
        Some(
            Problem::warning(format!(
                "rows of the past can't be put back, and are left out: {}",
                some_of(&names)
            ))
            .with_hint("MariaDB 10.11 and newer can"),
        )
    }

    fn single_connection(&self) -> Option<Problem> {
        let rights = &self.server.rights;
        let may_lock = ["RELOAD", "FLUSH_TABLES"].iter().any(|right| rights.everywhere(right))
            || rights.on_database(self.database, "LOCK TABLES");
        (!may_lock && self.setup.connections > 1).then(|| {
            Problem::warning("without a right to lock, a dump reads on one connection only")
                .with_hint("grant the login `RELOAD`, or `LOCK TABLES` on the database")
        })
    }

    fn connections(&self) -> Option<Problem> {
        let free = self.server.free_connections.max(0);
        let wanted = i64::try_from(self.setup.connections).unwrap_or(i64::MAX).saturating_add(BESIDE_LANES);
        (free < wanted).then(|| {
            Problem::warning(format!("the server has only {free} connections left"))
                .with_hint("end sessions, raise `max_connections`, or set fewer `connections`")
        })
    }

    /// Foreign keys of rows that are dumped to rows that are left out.
    async fn loose_keys(&self, session: &mut Session, chosen: &Chosen) -> Result<Option<Problem>> {
        let is_left_out = |name: &str| !chosen.has_rows_of(name);
        if self.names(|one| one.is_table() && is_left_out(&one.name)).is_none() {
            return Ok(None);
        }
        let mut names = Vec::new();
        for (table, keys) in catalog::foreign_keys(session, self.database).await? {
            let loose = keys.iter().filter(|key| key.to_database.is_none() && is_left_out(&key.to_table));
            if chosen.has_rows_of(&table) {
                names.extend(loose.map(|key| format!("{table}.{}", key.name)));
            }
        }
        names.sort();
        Ok((!names.is_empty()).then(|| {
            Problem::warning(format!("rows that foreign keys lead to are left out: {}", some_of(&names))).with_hint(
                "rows that are restored may refer to nothing: take what they lead to out of `exclude_data` and \
                 `exclude_tables`, and into `tables`",
            )
        }))
    }

    /// What a server leaves out without a word, or shows without its text.
    async fn programs(&self, session: &mut Session, chosen: &Chosen) -> Result<Vec<Problem>> {
        let rights = &self.server.rights;
        let mut problems = Vec::new();
        let mut unseen = |what: &str, right: &str| {
            problems.push(Problem::no_dump(format!("this login may not see {what}")).with_hint(format!(
                "grant it `{right}` on the database, or set `{what}: false` if there are none to keep"
            )));
        };
        let trigger = |one: &Relation| rights.on_table(self.database, &one.name, "TRIGGER");
        if self.setup.triggers
            && self.names(|one| one.is_table() && !chosen.omits(&one.name) && !trigger(one)).is_some()
        {
            unseen("triggers", "TRIGGER");
        }
        if self.setup.events && !rights.on_database(self.database, "EVENT") {
            unseen("events", "EVENT");
        }
        let lists_routines = may_list_routines(rights, self.database);
        if self.setup.routines && !lists_routines {
            unseen("routines", "EXECUTE");
        }
        let views = self.names(|one| {
            let may = rights.on_table(self.database, &one.name, "SHOW VIEW");
            one.kind == Kind::View && !chosen.omits(&one.name) && !may
        });
        problems.extend(views.map(|names| {
            Problem::no_dump(format!("this login may not see how these views are made: {}", some_of(&names)))
                .with_hint("grant it `SHOW VIEW` and `SELECT`, or leave them out with `exclude_tables`")
        }));
        if self.setup.routines && lists_routines {
            let read = catalog::routines(session, self.database).await;
            problems.extend(read.err().as_ref().map(|error| problem(Problem::no_dump, error)));
        }
        Ok(problems)
    }
}
