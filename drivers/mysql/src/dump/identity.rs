//! Whether all sessions are of one server. A name may lead to several, and what balances them may give each session another
//! one: then each would see a moment of its own, and rows would be missing, or there twice.

use dumprestore_driver::{Error, Result};

use crate::connect::Session;
use crate::quote;

/// The server that a session is of.
pub(super) struct Identity {
    /// By what it tells of itself. Two that were made from one image may tell the same.
    told: String,
    /// A lock that only this session has, by a name that nobody else uses: a session of another server finds nobody who
    /// has it. `None`: the server lets nobody have such locks, as some clusters do.
    mark: Option<Mark>,
}

struct Mark {
    name: String,
    holder: u64,
}

impl Identity {
    /// That of the session's server. It is to be [ended](Self::end) soon: to a session that has such a lock, MariaDB tells
    /// nothing of tables that others are changing.
    pub(super) async fn of(session: &mut Session) -> Result<Self> {
        Ok(Self { told: session.identity().to_owned(), mark: Mark::set(session).await? })
    }

    /// Compares it with that of another session.
    ///
    /// # Errors
    /// If it is another server; if the session is another one of the server's than at its beginning.
    pub(super) async fn check(&self, session: &mut Session) -> Result<()> {
        let holder = match &self.mark {
            Some(mark) => format!("IS_USED_LOCK({})", quote::literal(&mark.name)),
            None => "NULL".to_owned(),
        };
        let rows = session.rows(format!("SELECT CONNECTION_ID(), {holder}")).await?;
        let row = rows.first().ok_or_else(silent)?;
        if row.number(0)? != session.id() {
            return Err(Error::environment(
                "something between us and the server gives each statement another session",
            )
            .with_hint("point `url` at the server itself, or at a pooler that keeps sessions apart"));
        }
        let is_marked = row.number_or_null(1)? == self.mark.as_ref().map(|mark| mark.holder);
        match is_marked && self.told == session.identity() {
            true => Ok(()),
            false => Err(Error::environment(
                "`url` leads to several servers: what is dumped would be of several moments",
            )
            .with_context("one", self.told.escape_debug())
            .with_context("another", session.identity().escape_debug())
            .with_hint("name one server, not what balances them")),
        }
    }

    /// No more is compared with it. `session`: the one that it is of.
    pub(super) async fn end(self, session: &mut Session) -> Result<()> {
        match self.mark {
            Some(mark) => {
                session.run(format!("DO RELEASE_LOCK({})", quote::literal(&mark.name))).await.map(drop)
            }
            None => Ok(()),
        }
    }
}

impl Mark {
    async fn set(session: &mut Session) -> Result<Option<Self>> {
        let rows = session.rows("SELECT CONCAT('dumprestore ', UUID())").await?;
        let name = rows.first().ok_or_else(silent)?.text(0)?.to_owned();
        match session.rows(format!("SELECT GET_LOCK({}, 0)", quote::literal(&name))).await {
            Ok(rows) if rows.first().and_then(|row| row.bytes(0)) == Some(b"1") => {
                Ok(Some(Self { name, holder: session.id() }))
            }
            Err(error) if session.is_gone() => Err(error),
            _ => Ok(None),
        }
    }
}

fn silent() -> Error {
    Error::environment("a server did not tell which one it is")
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::{BuildContext, NodePath};
    use dumprestore_testkit::{MysqlServer, MysqlVersion};

    use super::*;
    use crate::config::MysqlConfig;

    async fn session(server: &MysqlServer) -> Session {
        let config = MysqlConfig::new(server.url("mysql")).with_variables([]);
        let setup = config.setup(&BuildContext::new(NodePath::new("db").unwrap(), "/")).unwrap();
        Session::open(&setup, "test").await.unwrap()
    }

    #[tokio::test]
    async fn a_server_that_tells_the_same_of_itself_is_not_the_same() {
        for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
            let (one, other) = (MysqlServer::shared(version), MysqlServer::start(version));
            let mut first = session(one).await;
            let identity = Identity::of(&mut first).await.unwrap();
            identity.check(&mut first).await.unwrap();
            identity.check(&mut session(one).await).await.unwrap();
            let mut stranger = session(&other).await;
            let twin = Identity { told: stranger.identity().to_owned(), ..identity };
            let error = twin.check(&mut stranger).await.unwrap_err();
            assert!(error.to_string().contains("several servers"), "{error}");
            let unmarked = Identity { mark: None, ..twin };
            unmarked.check(&mut stranger).await.unwrap();
            unmarked.check(&mut first).await.unwrap_err();
            let again = Identity::of(&mut first).await.unwrap();
            again.check(&mut session(one).await).await.unwrap();
            again.end(&mut first).await.unwrap();
        }
    }
}
