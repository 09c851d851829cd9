//! Definitions, made from the items of `contents.json`.

use dumprestore_driver::{Error, Result};

use super::pipeline::Pipeline;
use crate::archived::Item;
use crate::config::Policy;
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// As many characters of a statement as an error shows.
const SHOWN: usize = 120;

/// What of an item is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policies {
    pub(crate) owners: Policy,
    pub(crate) privileges: Policy,
    pub(crate) tablespaces: Policy,
}

impl Policies {
    /// Whether an item is made at all.
    pub(crate) fn want(self, item: &Item) -> bool {
        self.privileges == Policy::Keep || !matches!(item.kind.as_str(), "ACL" | "DEFAULT ACL")
    }

    fn tablespace(self, item: &Item) -> &str {
        if self.tablespaces == Policy::Keep { &item.tablespace } else { "" }
    }

    /// The owner that is set.
    pub(crate) fn owner(self, item: &Item) -> Option<(&str, &str)> {
        let owned =
            item.owned.as_deref().filter(|_| self.owners == Policy::Keep && !item.owner.is_empty())?;
        Some((owned, &item.owner))
    }
}

/// What a session has set for the next statement.
#[derive(Debug, Default)]
pub(crate) struct Place {
    tablespace: String,
    access_method: Option<String>,
}

impl Place {
    /// The statements that make an item, in order.
    pub(crate) fn statements(&mut self, item: &Item, policies: Policies, version: u32) -> Vec<String> {
        let mut statements = Vec::new();
        let tablespace = policies.tablespace(item);
        if self.tablespace != tablespace {
            statements.push(format!("SET default_tablespace = {}", quote::literal(tablespace)));
            tablespace.clone_into(&mut self.tablespace);
        }
        let method = Some(&item.access_method).filter(|method| !method.is_empty() && version >= 120_000);
        if let Some(method) =
            method.filter(|method| !item.partitioned && Some(*method) != self.access_method.as_ref())
        {
            statements.push(format!("SET default_table_access_method = {}", quote::name(method)));
            self.access_method = Some(method.clone());
        }
        statements.push(match item.kind.as_str() {
            // Said by a newer `pg_dump` of what older servers do, and have no word for.
            "SUBSCRIPTION" if version < 160_000 => item.sql.replace(", run_as_owner = true", ""),
            _ => item.sql.clone(),
        });
        if let Some(method) = method.filter(|_| item.partitioned && version >= 170_000) {
            let table = quote::qualified(&item.schema, &item.name);
            statements.push(format!("ALTER TABLE {table} SET ACCESS METHOD {}", quote::name(method)));
        }
        statements.extend(
            policies
                .owner(item)
                .map(|(owned, owner)| format!("ALTER {owned} OWNER TO {}", quote::name(owner))),
        );
        statements
    }
}

/// Makes items one after the other, without waiting for each answer.
pub(crate) async fn make(session: &Connection, items: &[&Item], policies: Policies) -> Result<()> {
    let mut pipeline = Pipeline::default();
    let mut place = Place::default();
    for item in items.iter().copied().filter(|item| policies.want(item)) {
        for statement in place.statements(item, policies, session.version()) {
            pipeline.send(run(session, item, statement)).await?;
        }
    }
    pipeline.send(reset(session)).await?;
    pipeline.finish().await
}

async fn reset(session: &Connection) -> Result<()> {
    let mut statement = "SET default_tablespace = ''".to_owned();
    if session.version() >= 120_000 {
        statement.push_str("; SET default_table_access_method = heap");
    }
    session.batch_execute(&statement).await.map_err(|error| session.fault(error, "can't set a session up"))
}

/// Makes one item.
pub(crate) async fn make_one(session: &Connection, item: &Item, policies: Policies) -> Result<()> {
    let mut place = Place::default();
    for statement in place.statements(item, policies, session.version()) {
        run(session, item, statement).await?;
    }
    reset(session).await
}

async fn run(session: &Connection, item: &Item, statement: String) -> Result<()> {
    match session.batch_execute(&statement).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let error = session.fault(error, format!("can't make {}", described(item)));
            Err(hinted(error.with_context("statement", beginning(&statement)), item))
        }
    }
}

fn hinted(error: Error, item: &Item) -> Error {
    let hint = match sqlstate(&error) {
        // Undefined function, table, column: of an extension of another version, or found by a path that is not set.
        Some("42883" | "42P01" | "42703") if item.kind != "ACL" => {
            "a function that it calls may rely on `search_path`, which is empty here: name schemas in it, or give it a \
             `SET search_path`; or an extension has another version on this server"
        }
        Some("42501") => "restore as a superuser, or with `owners: none` and `privileges: none`",
        _ => return error,
    };
    error.with_hint(hint)
}

/// `TABLE public.orders`.
pub(crate) fn described(item: &Item) -> String {
    match item.schema.as_str() {
        "" => format!("{} `{}`", item.kind, item.name),
        schema => format!("{} `{schema}.{}`", item.kind, item.name),
    }
}

/// What a statement says up to its first text: a text may be a password, as in the connection of a subscription, the
/// options of a user mapping, or a call of `dblink`.
fn beginning(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.char_indices().nth(SHOWN).map_or(line.len(), |(end, _)| end);
    let end = line.find(['\'', '$']).map_or(end, |text| text.min(end));
    match line.get(..end) {
        Some(shown) if shown.len() < line.len() => format!("{}…", shown.trim_end()),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::beginning;

    #[test]
    fn of_a_statement_only_what_comes_before_its_first_text_is_shown() {
        for (statement, shown) in [
            ("CREATE  TABLE t\n();", "CREATE TABLE t ();"),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'host=a password=b' PUBLICATION p;",
                "CREATE SUBSCRIPTION s CONNECTION…",
            ),
            ("CREATE FUNCTION f() RETURNS int AS $_$ 'secret' $_$;", "CREATE FUNCTION f() RETURNS int AS…"),
        ] {
            assert_eq!(beginning(statement), shown);
        }
        assert_eq!(beginning(&"ü".repeat(121)), format!("{}…", "ü".repeat(120)));
    }
}
