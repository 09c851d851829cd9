//! What belongs to a database as a whole, and to nothing in it: settings, privileges, a comment.

use dumprestore_driver::{LedgerEntry, Result};

use super::acl;
use crate::archived::{Database, Setting};
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// What the database that is called `name` gets. Its connection limit comes with the swap: before, it would count our own
/// sessions, and keep out those of hooks.
pub(crate) struct Properties<'a> {
    pub(crate) name: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) archived: &'a Database,
    pub(crate) acl: &'a [String],
    /// Whom what these privileges are of belonged to.
    pub(crate) acl_owner: &'a str,
}

impl Properties<'_> {
    /// Applies all of them, those last that could be in our own way. What this server, or this login, can't set is told.
    pub(crate) async fn apply(&self, session: &Connection) -> Result<Vec<LedgerEntry>> {
        let name = quote::name(self.name);
        let mut ledger = Vec::new();
        if let Some(comment) = &self.archived.comment {
            let statement = format!("COMMENT ON DATABASE {name} IS {}", quote::literal(comment));
            run(session, &statement, "can't set the comment of the database").await?;
        }
        for (provider, label) in &self.archived.security_labels {
            let statement = format!(
                "SECURITY LABEL FOR {} ON DATABASE {name} IS {}",
                quote::name(provider),
                quote::literal(label)
            );
            let done = run(session, &statement, "can't set a security label of the database").await;
            note(&mut ledger, format!("security label of `{provider}`"), done)?;
        }
        for setting in &self.archived.settings {
            let done = run(session, &of_setting(setting, &name), "can't set a setting of the database").await;
            note(&mut ledger, described(setting), done)?;
        }
        let statement = format!("ALTER DATABASE {name} IS_TEMPLATE {}", self.archived.is_template);
        run(session, &statement, "can't make the database a template").await?;
        // Until then nobody else can get in.
        let what = format!("DATABASE {name}");
        let statements =
            acl::statements_of_another(self.acl, self.acl_owner, &what, self.owner, acl::OF_DATABASE)?;
        for statement in statements {
            run(session, &statement, "can't set the privileges of the database").await?;
        }
        Ok(ledger)
    }
}

fn described(setting: &Setting) -> String {
    match &setting.role {
        Some(role) => format!("setting `{}` of role `{role}`", setting.name),
        None => format!("setting `{}`", setting.name),
    }
}

/// A server may not know, or a login may not set, what another did. That must be told, and need not stop a restore.
fn note(ledger: &mut Vec<LedgerEntry>, what: String, done: Result<()>) -> Result<()> {
    match done {
        Err(error) if matches!(sqlstate(&error), Some("42501" | "42704" | "22023" | "0A000" | "55P02")) => {
            ledger.push(LedgerEntry::degrading(what, error.to_string()));
            Ok(())
        }
        done => done,
    }
}

/// The statement that applies a setting to the database of that name, in quotes.
pub(crate) fn of_setting(setting: &Setting, database: &str) -> String {
    let whose = match &setting.role {
        Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", quote::name(role)),
        None => format!("ALTER DATABASE {database}"),
    };
    format!("{whose} SET {}", quote::setting(&setting.name, &setting.value))
}

async fn run(session: &Connection, statement: &str, what: &str) -> Result<()> {
    session.batch_execute(statement).await.map_err(|error| session.fault(error, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_be_of_one_role_only() {
        let everybody = Setting { role: None, name: "work_mem".to_owned(), value: "1MB".to_owned() };
        assert_eq!(of_setting(&everybody, "\"d\""), "ALTER DATABASE \"d\" SET \"work_mem\" TO '1MB'");
        let one = Setting { role: Some("r\"x".to_owned()), ..everybody };
        assert_eq!(
            of_setting(&one, "\"d\""),
            "ALTER ROLE \"r\"\"x\" IN DATABASE \"d\" SET \"work_mem\" TO '1MB'"
        );
    }
}
