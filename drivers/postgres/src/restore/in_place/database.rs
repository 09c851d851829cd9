//! What belongs to the live database as a whole, made as the archive has it. Encoding and locale stay.

use dumprestore_driver::{LedgerEntry, Result};

use super::super::items::Policies;
use super::super::{acl, properties};
use super::tolerance::try_to;
use crate::archived::{Database, Setting};
use crate::catalog;
use crate::config::Policy;
use crate::connect::Connection;
use crate::quote;

/// Something to set, by name.
type Change = (String, Vec<String>);

/// Sets all of it. What the login may not set is told.
pub(super) async fn describe(
    session: &Connection,
    archived: &Database,
    policies: Policies,
) -> Result<Vec<LedgerEntry>> {
    let live = catalog::database(session).await?;
    let mut ledger = Vec::new();
    for (what, statements) in changes(&live, archived, policies)? {
        if !statements.is_empty() {
            ledger.extend(try_to(session, &what, &statements).await?);
        }
    }
    ledger.extend(locale(&live, archived).map(|why| LedgerEntry::degrading("locale of the database", why)));
    Ok(ledger)
}

/// What can't be changed in a database that is there, if the archive has another.
pub(super) fn locale(live: &Database, archived: &Database) -> Option<String> {
    let said = |database: &Database| {
        let icu = database.locale.as_ref().map(|locale| format!(" {locale}")).unwrap_or_default();
        let Database { encoding, collate, ctype, locale_provider, .. } = database;
        let ctype = if ctype == collate { String::new() } else { format!(" {ctype}") };
        format!("{encoding} {collate}{ctype} {locale_provider}{icu}")
    };
    let (live, archived) = (said(live), said(archived));
    (live != archived).then(|| format!("it stays `{live}`, and the archive's is `{archived}`"))
}

fn changes(live: &Database, archived: &Database, policies: Policies) -> Result<Vec<Change>> {
    let name = quote::name(&live.name);
    let mut changes = Vec::new();
    let owner = match policies.owners {
        Policy::Keep if live.owner != archived.owner => {
            let statement = format!("ALTER DATABASE {name} OWNER TO {}", quote::name(&archived.owner));
            changes.push(("owner of the database".to_owned(), vec![statement]));
            &archived.owner
        }
        _ => &live.owner,
    };
    if policies.privileges == Policy::Keep && live.acl != archived.acl {
        changes.push(("privileges of the database".to_owned(), privileges(live, archived, owner, &name)?));
    }
    if live.comment != archived.comment {
        let comment = archived.comment.as_deref().map_or("NULL".to_owned(), quote::literal);
        changes.push((
            "comment of the database".to_owned(),
            vec![format!("COMMENT ON DATABASE {name} IS {comment}")],
        ));
    }
    changes.extend(labels(live, archived, &name));
    changes.extend(settings(live, archived, &name));
    if live.connection_limit != archived.connection_limit || live.is_template != archived.is_template {
        let statement = format!(
            "ALTER DATABASE {name} CONNECTION LIMIT = {} IS_TEMPLATE = {}",
            archived.connection_limit, archived.is_template
        );
        changes.push(("connection limit of the database".to_owned(), vec![statement]));
    }
    Ok(changes)
}

fn privileges(live: &Database, archived: &Database, owner: &str, name: &str) -> Result<Vec<String>> {
    let what = format!("DATABASE {name}");
    let mut statements = Vec::new();
    for item in live.acl.iter().flatten() {
        let grantee = acl::Grant::parse(item)?.grantee;
        if !grantee.is_empty() && grantee != owner {
            statements.push(format!("REVOKE ALL ON {what} FROM {} CASCADE", quote::name(&grantee)));
        }
    }
    match &archived.acl {
        Some(acl) => statements.extend(acl::statements_of_another(
            acl,
            &archived.owner,
            &what,
            owner,
            acl::OF_DATABASE,
        )?),
        None => {
            statements.push(format!("GRANT CONNECT, TEMPORARY ON {what} TO PUBLIC"));
            statements.push(format!("REVOKE CREATE ON {what} FROM PUBLIC"));
            statements.push(format!("GRANT ALL ON {what} TO {}", quote::name(owner)));
        }
    }
    Ok(statements)
}

fn labels<'a>(
    live: &'a Database,
    archived: &'a Database,
    name: &'a str,
) -> impl Iterator<Item = Change> + 'a {
    let set = move |provider: &str, label: String| {
        let statement = format!("SECURITY LABEL FOR {} ON DATABASE {name} IS {label}", quote::name(provider));
        (format!("security label of `{provider}`"), vec![statement])
    };
    let known = move |provider: &str| archived.security_labels.iter().any(|(known, _)| known == provider);
    let gone = live.security_labels.iter().filter(move |(provider, _)| !known(provider));
    let gone = gone.map(move |(provider, _)| set(provider, "NULL".to_owned()));
    let new = archived.security_labels.iter().filter(|label| !live.security_labels.contains(label));
    gone.chain(new.map(move |(provider, label)| set(provider, quote::literal(label))))
}

fn settings<'a>(
    live: &'a Database,
    archived: &'a Database,
    name: &'a str,
) -> impl Iterator<Item = Change> + 'a {
    let same = |one: &Setting, other: &Setting| one.role == other.role && one.name == other.name;
    let known = move |setting: &&Setting| !archived.settings.iter().any(|other| same(other, setting));
    let gone = live.settings.iter().filter(known).map(move |setting| {
        let whose = match &setting.role {
            Some(role) => format!("ALTER ROLE {} IN DATABASE {name}", quote::name(role)),
            None => format!("ALTER DATABASE {name}"),
        };
        (described(setting), vec![format!("{whose} RESET {}", quote::name(&setting.name))])
    });
    let new = archived.settings.iter().filter(|setting| !live.settings.contains(setting));
    gone.chain(new.map(move |setting| (described(setting), vec![properties::of_setting(setting, name)])))
}

fn described(setting: &Setting) -> String {
    match &setting.role {
        Some(role) => format!("setting `{}` of role `{role}`", setting.name),
        None => format!("setting `{}`", setting.name),
    }
}
