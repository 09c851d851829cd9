//! Materialized views, filled again.
//!
//! That runs queries and functions of the user's, so the session is to be as one of the application's: what values look
//! like as text, or which rows a policy shows, must not depend on how rows are loaded.

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::lanes::Lanes;
use crate::archived::{Contents, Database, Matview};
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// What was set for loading rows, and matters here, as a new session of the server has it.
pub(crate) const RESET: &str = "RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output; \
    RESET lc_monetary; RESET xmloption; SET row_security = on; SET check_function_bodies = on";

/// Settings that what a query gives may depend on. Those with a dot in their name, of extensions and applications, as well.
const OF_VALUES: [&str; 15] = [
    "array_nulls",
    "bytea_output",
    "datestyle",
    "default_text_search_config",
    "extra_float_digits",
    "icu_validation_level",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Fills those that were filled. What the view's own query, or its owner's rights, stand in the way of is told: the rows
/// are not lost, and everything else is there.
pub(crate) async fn refresh(lanes: &Lanes, contents: &Contents) -> Result<Vec<LedgerEntry>> {
    let mut ledger = Vec::new();
    if contents.matviews.is_empty() {
        return Ok(ledger);
    }
    // Nobody else is to have a session with these settings.
    let session = lanes.take().await?;
    let failed = |error| session.fault(error, "can't set a session up");
    session.batch_execute(RESET).await.map_err(failed)?;
    for statement in settings(&contents.database) {
        // One that this server, or this login, can't set, the application could not have there either.
        if let Err(error) = session.batch_execute(&statement).await
            && session.is_closed()
        {
            return Err(failed(error));
        }
    }
    for matview in &contents.matviews {
        match fill(&session, matview, search_path(&contents.database)).await {
            Err(error) if is_of_the_query(&error) => {
                let what = format!("materialized view `{}.{}`", matview.schema, matview.name);
                ledger.push(LedgerEntry::degrading(what, format!("it is without rows: {error}")));
            }
            done => done?,
        }
    }
    session.close().await;
    Ok(ledger)
}

/// Classes of errors that come from what a query says, does or may, and not from the server's state. A foreign server that
/// is not reached is among them.
pub(super) fn is_of_the_query(error: &Error) -> bool {
    const CLASSES: [&str; 10] = ["08", "21", "22", "23", "2F", "38", "39", "42", "HV", "P0"];
    sqlstate(error).is_some_and(|code| code == "55000" || CLASSES.iter().any(|class| code.starts_with(class)))
}

/// As `ALTER DATABASE … SET` has them, for everybody.
pub(crate) fn settings(database: &Database) -> impl Iterator<Item = String> {
    let matters = |name: &str| name.contains('.') || OF_VALUES.contains(&name.to_ascii_lowercase().as_str());
    let settings = database.settings.iter().filter(move |set| set.role.is_none() && matters(&set.name));
    settings.map(|set| format!("SET {}", quote::setting(&set.name, &set.value)))
}

/// Where the application's functions find what they name without its schema: what follows `SET`.
pub(crate) fn search_path(database: &Database) -> String {
    let of_all = database.settings.iter().find(|set| set.role.is_none() && set.name == "search_path");
    match of_all {
        Some(set) => quote::setting(&set.name, &set.value),
        None => "search_path TO DEFAULT".to_owned(),
    }
}

/// With a path that is empty, as the newest servers do it themselves; and if something is not found so, with that of the
/// application.
async fn fill(session: &Connection, matview: &Matview, search_path: String) -> Result<()> {
    let name = quote::qualified(&matview.schema, &matview.name);
    let refresh = format!("REFRESH MATERIALIZED VIEW {name}");
    let failed = |error| {
        session
            .fault(error, "can't fill a materialized view")
            .with_context("view", format!("{}.{}", matview.schema, matview.name))
    };
    let Err(error) = session.batch_execute(&refresh).await.map_err(failed) else { return Ok(()) };
    if !is_not_found(&error) {
        return Err(error);
    }
    // Sent as one, it is one transaction.
    let again = session.batch_execute(&format!("SET LOCAL {search_path}; {refresh}")).await;
    again.map_err(failed)
}

/// Whether something was not found that is named without its schema, perhaps.
pub(super) fn is_not_found(error: &Error) -> bool {
    matches!(sqlstate(error), Some("3F000" | "42704" | "42883" | "42P01"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archived::Setting;

    fn database(settings: &[(Option<&str>, &str, &str)]) -> Database {
        let set = |(role, name, value): &(Option<&str>, &str, &str)| Setting {
            role: role.map(str::to_owned),
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        let text = r#"{ "name": "d", "owner": "o", "encoding": "UTF8", "collate": "C", "ctype": "C",
            "locale_provider": "libc", "connection_limit": -1, "is_template": false }"#;
        let database: Database = serde_json::from_str(text).unwrap();
        Database { settings: settings.iter().map(set).collect(), ..database }
    }

    #[test]
    fn what_values_look_like_is_as_the_database_has_it_and_nothing_else() {
        let database = database(&[
            (None, "DateStyle", "German"),
            (Some("r"), "TimeZone", "Asia/Tokyo"),
            (None, "statement_timeout", "1"),
            (None, "shop.tenant", "it's"),
            (None, "search_path", "a, \"B c\""),
        ]);
        let set: Vec<String> = settings(&database).collect();
        assert_eq!(set, [r#"SET "DateStyle" TO 'German'"#, r#"SET "shop.tenant" TO 'it''s'"#]);
        assert_eq!(search_path(&database), r#""search_path" TO 'a', 'B c'"#);
    }
}
