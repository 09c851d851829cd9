//! The schema `public` of servers up to 14: it belongs to whoever made the server, and everybody may create in it.
//!
//! A dump says so. Where that is all it says, a new database has it so already, and a login that may not make it so need
//! not.

use dumprestore_driver::Result;

use super::needs::Login;
use crate::archived::{Contents, Item};
use crate::connect::Connection;

/// From this version on it belongs to the owner of the database.
const OF_DATABASE_OWNER: u32 = 150_000;

/// Whether an item is of `public` as such.
fn is_of_public(item: &Item) -> bool {
    match item.kind.as_str() {
        "SCHEMA" => item.name == "public",
        // As `pg_dump` has it, or as it is added to what that says.
        "ACL" | "COMMENT" => matches!(item.name.as_str(), "SCHEMA \"public\"" | "SCHEMA public"),
        _ => false,
    }
}

/// Leaves out what is said of `public`, if it is what every database of the server begins with, and the login is no
/// superuser.
pub(super) async fn leave_as_new(session: &Connection, contents: &mut Contents) -> Result<()> {
    let of_public: Vec<&Item> = contents.items.iter().filter(|item| is_of_public(item)).collect();
    let closed = session.version() >= OF_DATABASE_OWNER
        || contents.origin.server_version >= OF_DATABASE_OWNER
        || of_public.is_empty();
    if closed || Login::look(session).await?.is_superuser {
        return Ok(());
    }
    let asked = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = 10";
    let first = session.query_one(asked, &[]).await;
    let first = first.map_err(|error| session.fault(error, "can't read who made the server"))?;
    if is_as_new(&of_public, first.get(0)) {
        contents.items.retain(|item| item.kind == "SCHEMA" || !is_of_public(item));
        for item in contents.items.iter_mut().filter(|item| is_of_public(item)) {
            item.owned = None;
        }
    }
    Ok(())
}

fn is_as_new(of_public: &[&Item], first: &str) -> bool {
    let (rights, others): (Vec<&Item>, Vec<&Item>) = of_public.iter().partition(|item| item.kind == "ACL");
    let is_new = |item: &&Item| match item.kind.as_str() {
        "SCHEMA" => item.owned.is_none() || item.owner == first,
        _ => item.sql.contains(" IS 'standard public schema';"),
    };
    let said = rights.iter().flat_map(|item| item.sql.lines()).map(|line| line.replace('"', ""));
    let said: Vec<String> = said.filter(|line| !line.trim().is_empty() && !line.starts_with("--")).collect();
    let opens = |line: &String| {
        ["GRANT ALL ON SCHEMA public TO PUBLIC;", "GRANT CREATE ON SCHEMA public TO PUBLIC;"]
            .contains(&line.as_str())
    };
    let closes =
        |line: &String| line.starts_with("REVOKE ") && line.ends_with(" ON SCHEMA public FROM PUBLIC;");
    others.iter().all(is_new)
        && said.iter().all(|line| opens(line) || closes(line))
        && said.last().is_some_and(opens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: &str, owner: &str, sql: &str) -> Item {
        let name = if kind == "SCHEMA" { "public" } else { "SCHEMA public" };
        serde_json::from_value(serde_json::json!({
            "id": 1, "section": "last", "kind": kind, "name": name, "owner": owner, "sql": sql,
            "owned": (kind == "SCHEMA").then_some("SCHEMA \"public\""),
        }))
        .unwrap()
    }

    #[test]
    fn only_what_every_database_begins_with_is_as_new() {
        let close = "REVOKE CREATE ON SCHEMA \"public\" FROM PUBLIC;\n";
        let open =
            "REVOKE USAGE ON SCHEMA \"public\" FROM PUBLIC;\nGRANT ALL ON SCHEMA \"public\" TO PUBLIC;\n";
        let standard = "COMMENT ON SCHEMA \"public\" IS 'standard public schema';\n";
        let is_new = |items: &[(&str, &str, &str)]| {
            let items: Vec<Item> = items.iter().map(|(kind, owner, sql)| item(kind, owner, sql)).collect();
            is_as_new(&items.iter().collect::<Vec<_>>(), "first")
        };
        let schema = ("SCHEMA", "first", "--");
        assert!(is_new(&[schema, ("COMMENT", "", standard), ("ACL", "", close), ("ACL", "", open)]));
        assert!(is_new(&[schema, ("ACL", "", "GRANT CREATE ON SCHEMA \"public\" TO PUBLIC;\n")]));
        assert!(!is_new(&[("SCHEMA", "other", "--"), ("ACL", "", open)]));
        assert!(!is_new(&[schema, ("ACL", "", close)]));
        assert!(!is_new(&[
            schema,
            ("ACL", "", open),
            ("ACL", "", "GRANT USAGE ON SCHEMA \"public\" TO r;\n")
        ]));
        assert!(!is_new(&[
            schema,
            ("COMMENT", "", "COMMENT ON SCHEMA \"public\" IS 'mine';"),
            ("ACL", "", open)
        ]));
    }
}
