//! What comes after the rows, on the one session of the transaction.

use dumprestore_driver::{LedgerEntry, Result};

use super::super::items::{self, Policies};
use super::super::refresh;
use super::tolerance::try_to;
use crate::archived::{Contents, Item, Matview};
use crate::connect::Connection;
use crate::quote;

/// What was set for loading rows, and matters to queries of the user's.
const OF_VALUES: [&str; 8] = [
    "DateStyle",
    "IntervalStyle",
    "bytea_output",
    "check_function_bodies",
    "extra_float_digits",
    "lc_monetary",
    "row_security",
    "xmloption",
];

/// Makes definitions. One that calls a function which finds things by the application's search path is tried again with
/// that.
pub(super) async fn make(
    session: &Connection,
    items: &[&Item],
    contents: &Contents,
    policies: Policies,
) -> Result<()> {
    let path = refresh::search_path(&contents.database);
    for item in items.iter().copied().filter(|item| policies.want(item)) {
        run(session, "SAVEPOINT made").await?;
        match items::make_one(session, item, policies).await {
            Err(error) if refresh::is_not_found(&error) => {
                run(session, &format!("ROLLBACK TO made; SET LOCAL {path}")).await?;
                items::make_one(session, item, policies).await?;
                run(session, "SET LOCAL search_path = ''").await?;
            }
            done => done?,
        }
        run(session, "RELEASE made").await?;
    }
    Ok(())
}

/// Fills materialized views that were filled, on a session that is as one of the application's meanwhile. What the view's
/// own query stands in the way of is told.
pub(super) async fn refresh(session: &Connection, contents: &Contents) -> Result<Vec<LedgerEntry>> {
    let mut ledger = Vec::new();
    if contents.matviews.is_empty() {
        return Ok(ledger);
    }
    let asked = "SELECT s.name, s.setting, pg_catalog.set_config(s.name, s.reset_val, true) \
        FROM pg_catalog.pg_settings s WHERE pg_catalog.lower(s.name) = ANY ($1)";
    let names: Vec<String> = OF_VALUES.iter().map(|name| name.to_lowercase()).collect();
    let failed = |error| session.fault(error, "can't set a session up");
    let before = session.query(asked, &[&names]).await.map_err(failed)?;
    run(session, "SET LOCAL row_security = on").await?;
    for statement in refresh::settings(&contents.database) {
        let statement = statement.replacen("SET ", "SET LOCAL ", 1);
        // One that this server, or this login, can't set, the application could not have there either.
        let _told = try_to(session, "settings of the database", &[statement]).await?;
    }
    for matview in &contents.matviews {
        ledger.extend(fill(session, matview, &refresh::search_path(&contents.database)).await?);
    }
    for row in &before {
        let back = "SELECT pg_catalog.set_config($1, $2, true)";
        let (name, value): (&str, &str) = (row.get(0), row.get(1));
        session.query_one(back, &[&name, &value]).await.map_err(failed)?;
    }
    Ok(ledger)
}

async fn fill(session: &Connection, matview: &Matview, path: &str) -> Result<Option<LedgerEntry>> {
    let refresh = format!("REFRESH MATERIALIZED VIEW {}", quote::qualified(&matview.schema, &matview.name));
    let called = format!("{}.{}", matview.schema, matview.name);
    let filled = async |statement: &str| {
        session.batch_execute(statement).await.map_err(|error| {
            session.fault(error, "can't fill a materialized view").with_context("view", &called)
        })
    };
    run(session, "SAVEPOINT filled").await?;
    let mut done = filled(&refresh).await;
    if done.as_ref().is_err_and(refresh::is_not_found) {
        run(session, &format!("ROLLBACK TO filled; SET LOCAL {path}")).await?;
        done = filled(&refresh).await;
    }
    match done {
        Ok(()) => run(session, "SET LOCAL search_path = ''; RELEASE filled").await.map(|()| None),
        Err(error) if refresh::is_of_the_query(&error) => {
            run(session, "ROLLBACK TO filled; RELEASE filled").await?;
            let what = format!("materialized view `{called}`");
            Ok(Some(LedgerEntry::degrading(what, format!("it is without rows: {error}"))))
        }
        Err(error) => Err(error),
    }
}

/// Gathers statistics of what was loaded. They are no data, and the server gathers them again: what fails is told.
pub(super) async fn analyze(session: &Connection, contents: &Contents) -> Result<Vec<LedgerEntry>> {
    let tables = contents.tables.iter().map(|table| (&table.schema, &table.name));
    let views = contents.matviews.iter().map(|view| (&view.schema, &view.name));
    let mut ledger = Vec::new();
    for (schema, name) in tables.chain(views) {
        let statement = [format!("ANALYZE {}", quote::qualified(schema, name))];
        let tried = try_to(session, "statistics", &statement).await?;
        ledger.extend(tried.map(|told| LedgerEntry::note(told.what, told.why)));
    }
    Ok(ledger)
}

async fn run(session: &Connection, statement: &str) -> Result<()> {
    session
        .batch_execute(statement)
        .await
        .map_err(|error| session.fault(error, "can't go on with a restore in place"))
}
