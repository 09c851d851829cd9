//! What only a superuser can make.

use std::collections::BTreeSet;

use dumprestore_driver::Result;

use super::items::{Policies, described};
use super::named::{Piece, is, name, pieces};
use super::needs::{Login, Obstacle};
use super::roles;
use crate::archived::{Contents, Item};
use crate::connect::Connection;
use crate::quote;

/// As many as a message shows.
const SHOWN: usize = 5;

/// What hosted servers give to their customers in place of a superuser: it may do some of what a superuser may. Which, no
/// catalogue tells.
const NEARLY: [&str; 6] = [
    "alloydbsuperuser",
    "azure_pg_admin",
    "cloudsqlsuperuser",
    "neon_superuser",
    "rds_superuser",
    "supabase_admin",
];

/// Members of it may make subscriptions: a role of servers from 16 on.
const SUBSCRIBERS: &str = "pg_create_subscription";

/// Definitions, and roles, that this login could not make.
pub(crate) async fn obstacles(
    session: &Connection,
    contents: &Contents,
    policies: Policies,
    login: &Login,
) -> Result<Vec<Obstacle>> {
    if login.is_nearly_superuser {
        return Ok(Vec::new());
    }
    let wanted = contents.items.iter().filter(|item| policies.want(item));
    let beyond: Vec<String> = wanted.filter(|item| needs_superuser(item)).map(described).collect();
    let mut obstacles = Vec::new();
    if !beyond.is_empty() {
        let more = beyond.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let shown = beyond.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        obstacles.push(Obstacle::new(
            format!("only a superuser can make {shown}{more}"),
            "restore as a superuser, or leave them out",
        ));
    }
    obstacles.extend(subscriptions(session, contents).await?);
    obstacles.extend(unmade_roles(session, contents, login).await?);
    Ok(obstacles)
}

/// Whether the login is what a hosted server has in place of a superuser.
pub(super) async fn is_nearly_superuser(session: &Connection) -> Result<bool> {
    is_member_of(session, &NEARLY).await
}

/// Whether the login is in any of these roles, of which the server may have none.
async fn is_member_of(session: &Connection, roles: &[&str]) -> Result<bool> {
    let asked = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ANY ($1) \
        AND pg_catalog.pg_has_role(current_user, oid, 'MEMBER'))";
    let row = session.query_one(asked, &[&roles]).await;
    Ok(row.map_err(|error| session.fault(error, "can't see what the login may do"))?.get(0))
}

/// Subscriptions that this login, which is no superuser, could not make: any, without the role for it; with it those whose
/// connection has no password.
async fn subscriptions(session: &Connection, contents: &Contents) -> Result<Option<Obstacle>> {
    let all = contents.items.iter().filter(|item| item.kind == "SUBSCRIPTION").collect::<Vec<_>>();
    let may_subscribe = !all.is_empty() && is_member_of(session, &[SUBSCRIBERS]).await?;
    let beyond = all.into_iter().filter(|item| !may_subscribe || is_without_password(&item.sql));
    let beyond: Vec<&str> = beyond.map(|item| item.name.as_str()).collect();
    let hint = match session.version() {
        160_000.. => {
            "restore as a superuser; or grant the login `pg_create_subscription`, which does if the connection has a \
             password; or write a script with `extract --sql`, and take them out of it"
        }
        _ => "restore as a superuser; or write a script with `extract --sql`, and take them out of it",
    };
    Ok((!beyond.is_empty()).then(|| {
        let shown = beyond.iter().take(SHOWN).copied().collect::<Vec<_>>().join("`, `");
        Obstacle::new(format!("the login can't make the subscriptions `{shown}`"), hint)
    }))
}

fn is_without_password(sql: &str) -> bool {
    sql.contains("password_required = false") || !sql.contains("password")
}

async fn unmade_roles(session: &Connection, contents: &Contents, login: &Login) -> Result<Option<Obstacle>> {
    let names: Vec<&str> = contents.roles.iter().map(|role| role.name.as_str()).collect();
    let missing = roles::missing(session, &names).await?;
    if missing.is_empty() {
        return Ok(None);
    }
    if !login.may_create_roles {
        let message = format!("the login `{}` may not make the roles `{}`", login.name, missing.join("`, `"));
        return Ok(Some(Obstacle::new(message, "give it the right `CREATEROLE`, or make them before")));
    }
    let beyond = |sql: &String| {
        let options: Vec<&str> = sql.split_whitespace().collect();
        ["SUPERUSER", "REPLICATION", "BYPASSRLS"].iter().any(|option| options.contains(option))
    };
    let roles = contents.roles.iter().filter(|role| missing.contains(&role.name.as_str()));
    let beyond: Vec<&str> =
        roles.filter(|role| role.sql.iter().any(beyond)).map(|role| role.name.as_str()).collect();
    Ok((!beyond.is_empty()).then(|| {
        Obstacle::new(
            format!("only a superuser can make the roles `{}`", beyond.join("`, `")),
            "restore as a superuser, or make them before",
        )
    }))
}

fn needs_superuser(item: &Item) -> bool {
    let has = |words: &str| item.sql.contains(words);
    match item.kind.as_str() {
        "ACCESS METHOD"
        | "EVENT TRIGGER"
        | "FOREIGN DATA WRAPPER"
        | "OPERATOR CLASS"
        | "OPERATOR FAMILY"
        | "PROCEDURAL LANGUAGE"
        | "PUBLICATION TABLES IN SCHEMA"
        | "SHELL TYPE"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH TEMPLATE" => true,
        "PUBLICATION" => has(" FOR ALL TABLES") || has(" FOR ALL SEQUENCES"),
        "TYPE" => has("\n    INTERNALLENGTH = "),
        "CAST" => has("WITHOUT FUNCTION"),
        "AGGREGATE" => has("STYPE = internal") || has("STYPE = \"internal\""),
        "FUNCTION" | "PROCEDURE" => is_native_or_leakproof(&item.sql),
        // Of what is the system's; or given by somebody who was given it.
        "ACL" => item.schema == "pg_catalog" || has("SET SESSION AUTHORIZATION"),
        _ => false,
    }
}

fn is_native_or_leakproof(sql: &str) -> bool {
    let pieces = pieces(sql);
    let said = pieces.iter().position(|piece| is(piece, "LANGUAGE")).unwrap_or(pieces.len());
    let language = pieces.get(said + 1).and_then(name);
    let mut options =
        pieces.iter().skip(said + 2).take_while(|piece| !is(piece, "AS") && !is(piece, "BEGIN"));
    language.is_some_and(|language| language == "c" || language == "internal")
        || options.any(|piece| is(piece, "LEAKPROOF"))
}

/// Providers of security labels that are not loaded on the server.
pub(crate) async fn missing_providers(session: &Connection, contents: &Contents) -> Result<Option<Obstacle>> {
    let labels = contents.items.iter().filter(|item| item.kind == "SECURITY LABEL");
    let providers: BTreeSet<String> = labels.filter_map(|item| provider(&item.sql)).collect();
    let mut missing = Vec::new();
    for provider in providers {
        // It is looked for before the table is: that is missing as well, so nothing happens.
        let tried = format!(
            "SECURITY LABEL FOR {} ON TABLE pg_temp.dumprestore_tries IS NULL",
            quote::name(&provider)
        );
        let done = session.batch_execute(&tried).await;
        if done.is_err_and(|error| error.code().is_some_and(|code| code.code() == "22023")) {
            missing.push(provider);
        }
    }
    Ok((!missing.is_empty()).then(|| {
        Obstacle::new(
            format!("the server has no providers of security labels `{}`", missing.join("`, `")),
            "load them with `shared_preload_libraries`, and start the server anew",
        )
    }))
}

fn provider(sql: &str) -> Option<String> {
    let pieces = pieces(sql);
    let at = pieces.iter().position(|piece| is(piece, "FOR"))?;
    pieces.get(at + 1).and_then(|piece: &Piece| name(piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archived::Section;

    fn item(kind: &str, sql: &str) -> Item {
        Item {
            id: 1,
            section: Section::PreData,
            kind: kind.to_owned(),
            schema: "s".to_owned(),
            name: "n".to_owned(),
            table: None,
            owner: String::new(),
            owned: None,
            tablespace: String::new(),
            access_method: String::new(),
            partitioned: false,
            sql: sql.to_owned(),
            drop: String::new(),
            needs: Vec::new(),
        }
    }

    #[test]
    fn what_only_a_superuser_can_make_is_told_from_what_anybody_can() {
        let cases = [
            (
                "FUNCTION",
                "CREATE FUNCTION f() RETURNS int\n    LANGUAGE \"c\" STRICT\n    AS 'x', 'y';",
                true,
            ),
            ("FUNCTION", "CREATE FUNCTION f() RETURNS int\n    LANGUAGE internal\n    AS $$int4pl$$;", true),
            (
                "FUNCTION",
                "CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql LEAKPROOF\n    AS 'SELECT 1';",
                true,
            ),
            (
                "FUNCTION",
                "CREATE FUNCTION f(a text DEFAULT 'LANGUAGE c'::text) RETURNS int\n    LANGUAGE sql\n    AS 'LEAKPROOF';",
                false,
            ),
            ("TYPE", "CREATE TYPE t (\n    INTERNALLENGTH = 4,\n    INPUT = i\n);", true),
            ("TYPE", "CREATE TYPE t AS (\n    a integer\n);", false),
            ("PUBLICATION", "CREATE PUBLICATION p FOR ALL TABLES WITH (publish = 'insert');", true),
            ("PUBLICATION", "CREATE PUBLICATION p WITH (publish = 'insert');", false),
            ("CAST", "CREATE CAST (a AS b) WITHOUT FUNCTION;", true),
            ("CAST", "CREATE CAST (a AS b) WITH FUNCTION f(a);", false),
            ("ACL", "SET SESSION AUTHORIZATION \"a\";\nGRANT SELECT ON TABLE t TO b;", true),
            ("ACL", "GRANT SELECT ON TABLE t TO b;", false),
            ("EVENT TRIGGER", "CREATE EVENT TRIGGER e", true),
            ("TABLE", "CREATE TABLE t ();", false),
        ];
        for (kind, sql, expected) in cases {
            assert_eq!(needs_superuser(&item(kind, sql)), expected, "{kind}: {sql}");
        }
        assert_eq!(provider("SECURITY LABEL FOR \"a\"\"b\" ON TABLE t IS 'FOR x';"), Some("a\"b".to_owned()));
    }
}
