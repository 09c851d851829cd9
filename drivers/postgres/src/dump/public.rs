//! The schema `public`, which a database has from its beginning.
//!
//! Up to server 14 everybody may create in it. `pg_dump` says only in what it differs from what it should be in the
//! beginning: an older one from that, a newer one from what it is since server 15, whichever server it reads. So what a
//! restore finds there, before it grants and revokes, has to be what that `pg_dump` took it for.

use dumprestore_driver::Result;

use crate::archived::{Item, Section};
use crate::catalog;
use crate::connect::Connection;
use crate::contents::Definition;

/// The first version, of server and `pg_dump`, for which `public` is not everybody's.
const CLOSED_SINCE: u32 = 15;

/// Adds what `pg_dump` of that version takes for granted. Nothing for newer servers: no older one takes their dumps.
pub(super) async fn complete(
    main: &Connection,
    pg_dump: &str,
    definitions: &mut Vec<Definition>,
) -> Result<()> {
    if main.version() / 10_000 >= CLOSED_SINCE {
        return Ok(());
    }
    let major = pg_dump.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(CLOSED_SINCE);
    let owner = match major {
        CLOSED_SINCE.. => None,
        // Older ones don't tell whose it is.
        _ => catalog::owner_of_public(main).await?,
    };
    insert(definitions, major >= CLOSED_SINCE, owner);
    Ok(())
}

fn insert(definitions: &mut Vec<Definition>, is_closed: bool, owner: Option<String>) {
    let free = definitions.iter().map(|definition| definition.item.id).max().unwrap_or(0).saturating_add(1);
    let rights = match is_closed {
        true => "REVOKE CREATE ON SCHEMA \"public\" FROM PUBLIC;\n",
        false => "GRANT CREATE ON SCHEMA \"public\" TO PUBLIC;\n",
    };
    let before = |definition: &Definition| definition.item.section < Section::Last;
    let last = definitions.iter().position(|definition| !before(definition)).unwrap_or(definitions.len());
    definitions.insert(last, definition(free, Section::Last, "ACL", "SCHEMA public", rights));
    if let Some(owner) = owner {
        let there = "-- It is there from the beginning.\n";
        let mut schema = definition(free.saturating_add(1), Section::PreData, "SCHEMA", "public", there);
        schema.item.owner = owner;
        schema.item.owned = Some("SCHEMA \"public\"".to_owned());
        definitions.insert(0, schema);
    }
}

fn definition(id: i32, section: Section, kind: &str, name: &str, sql: &str) -> Definition {
    let item = Item {
        id,
        section,
        kind: kind.to_owned(),
        schema: String::new(),
        name: name.to_owned(),
        table: None,
        owner: String::new(),
        owned: None,
        tablespace: String::new(),
        access_method: String::new(),
        partitioned: false,
        sql: sql.to_owned(),
        drop: String::new(),
        needs: Vec::new(),
    };
    Definition { object: (0, 0), item }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(is_closed: bool, owner: Option<&str>) -> Vec<(i32, String)> {
        let mut definitions = vec![
            definition(3, Section::PreData, "TABLE", "t", "CREATE TABLE t ();"),
            definition(9, Section::PostData, "INDEX", "i", "CREATE INDEX i;"),
            definition(5, Section::Last, "ACL", "SCHEMA public", "GRANT USAGE ON SCHEMA public TO x;"),
        ];
        insert(&mut definitions, is_closed, owner.map(str::to_owned));
        definitions.into_iter().map(|made| (made.item.id, made.item.sql)).collect()
    }

    #[test]
    fn what_a_newer_pg_dump_takes_for_granted_comes_before_what_it_grants() {
        let made = made(true, None);
        let ids: Vec<i32> = made.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [3, 9, 10, 5]);
        assert!(made[2].1.starts_with("REVOKE CREATE"), "{made:?}");
    }

    #[test]
    fn an_older_pg_dump_tells_neither_that_it_is_everybodys_nor_whose_it_is() {
        let made = made(false, Some("o"));
        let ids: Vec<i32> = made.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [11, 3, 9, 10, 5]);
        assert!(made[3].1.starts_with("GRANT CREATE"), "{made:?}");
    }
}
