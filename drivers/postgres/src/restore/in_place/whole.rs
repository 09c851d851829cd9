//! A whole database, restored in place: emptied, and made again.

use dumprestore_driver::{LedgerEntry, Result};

use super::super::items::{self, Policies};
use super::super::server::Server;
use super::super::{beside_tables, checks, prepare, roles};
use super::choice::Chosen;
use super::holdings::Holdings;
use super::suspended::Suspended;
use super::{after, clear, database, emptied, extensions, locks, sequences};
use crate::archived::{Contents, Item, Section};
use crate::connect::Connection;

/// Drops all that is there, and makes the definitions that rows go into.
pub(super) async fn begin(
    server: &Server,
    session: &Connection,
    chosen: &Chosen,
    policies: Policies,
) -> Result<(Vec<LedgerEntry>, Suspended)> {
    let contents = &chosen.contents;
    let mut tables = clear::tables(session).await?;
    if chosen.with_data {
        tables.extend(extensions::tables_with_keys(session, &contents.tables).await?);
    }
    locks::lock(server, session, &tables).await?;
    if !chosen.with_data {
        emptied::refuse_data(session).await?;
    }
    // What was made until the locks were had is among it.
    let holdings = Holdings::look(session, contents).await?;
    let lost = beside_tables::lost(session, contents).await?;
    let (mut ledger, mut keys) = clear::clear(session, chosen, &holdings).await?;
    ledger.extend(lost);
    // In a transaction, they need no mark to be found again: rolled back, they go.
    roles::make(session, &contents.roles, &server.sessions).await?;
    roles::keep(session, &server.sessions).await?;
    let made: Vec<Item> = contents
        .items
        .iter()
        .filter(|item| item.section == Section::PreData)
        .filter_map(|item| adapted(item, contents, &holdings))
        .collect();
    items::make(session, &made.iter().collect::<Vec<_>>(), policies).await?;
    if chosen.with_data {
        // Those of extensions that were made just now.
        keys.extend(extensions::suspend_keys(session, &contents.tables).await?);
    }
    Ok((ledger, Suspended::of(keys)))
}

/// What stays is not made, and what is said of an extension that belongs to somebody else is not said again.
fn adapted(item: &Item, contents: &Contents, holdings: &Holdings) -> Option<Item> {
    if item.kind == "SCHEMA" && holdings.schemas.contains(&item.name) {
        return Some(Item { sql: String::new(), ..item.clone() });
    }
    let of_foreign = |id: &i32| {
        let needed = contents.items.iter().find(|other| other.id == *id && other.kind == "EXTENSION");
        needed.is_some_and(|needed| {
            holdings.extensions.iter().any(|extension| !extension.is_ours && extension.name == needed.name)
        })
    };
    (item.kind != "COMMENT" || !item.needs.iter().any(of_foreign)).then(|| item.clone())
}

/// Everything after the rows.
pub(super) async fn complete(
    session: &Connection,
    contents: &Contents,
    policies: Policies,
    suspended: &Suspended,
) -> Result<Vec<LedgerEntry>> {
    suspended.end(session).await?;
    let post_data: Vec<&Item> =
        contents.items.iter().filter(|item| item.section == Section::PostData).collect();
    after::make(session, &post_data, contents, policies).await?;
    let members = sequences::of_extensions(session, &contents.sequences).await?;
    sequences::rewind(session, &members).await?;
    prepare::set_sequences(session, contents).await?;
    let (privileges, last) = prepare::split_last(contents);
    items::make(session, &privileges, policies).await?;
    let mut ledger = after::refresh(session, contents).await?;
    ledger.extend(after::analyze(session, contents).await?);
    checks::check(session, contents).await?;
    ledger.extend(database::describe(session, &contents.database, policies).await?);
    items::make(session, &last, policies).await?;
    Ok(ledger)
}
