//! A session that holds a lock for others: it is kept alive by us, and the server lets go soon after we are no more.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dumprestore_driver::{Error, Result};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use crate::connect::Session;

/// How often it says something. A machine that sleeps, a process that is stopped, or a network that is cut says nothing.
const PING: Duration = Duration::from_secs(5);
/// After so many seconds of silence the server ends the session, and with it the lock.
const ALONE: u64 = 60;

/// The session. Dropped, it is cut off.
pub(super) struct Kept(Arc<Mutex<Option<Session>>>);

impl Kept {
    /// From now on it does not outlive us.
    pub(super) async fn new(session: Session) -> Result<Self> {
        Self::with(session, PING, ALONE).await
    }

    async fn with(mut session: Session, every: Duration, alone: u64) -> Result<Self> {
        session.run(format!("SET SESSION wait_timeout = {alone}")).await?;
        let kept = Arc::new(Mutex::new(Some(session)));
        tokio::spawn(ping(Arc::downgrade(&kept), every));
        Ok(Self(kept))
    }

    /// The session.
    ///
    /// # Errors
    /// If it was taken.
    pub(super) async fn session(&self) -> Result<MappedMutexGuard<'_, Session>> {
        MutexGuard::try_map(self.0.lock().await, Option::as_mut)
            .map_err(|_| Error::defect("a lock is used after it was let go"))
    }

    /// The session, which is not kept any more.
    pub(super) async fn take(&self) -> Option<Session> {
        self.0.lock().await.take()
    }
}

/// Goes on until the session is taken, dropped, or lost. Who needs it finds out what became of it.
async fn ping(kept: Weak<Mutex<Option<Session>>>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut session = kept.lock().await;
        let Some(session) = session.as_mut() else { return };
        if session.run("DO 0").await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::{BuildContext, NodePath};
    use dumprestore_testkit::{MysqlServer, MysqlVersion, soon};

    use super::*;
    use crate::config::MysqlConfig;

    fn is_locked(server: &MysqlServer, database: &str) -> bool {
        let insert = "SET SESSION lock_wait_timeout = 1; INSERT INTO t VALUES (1)";
        server.try_batch(database, insert).is_err()
    }

    #[test]
    fn a_lock_lasts_while_we_do_and_ends_soon_after_a_process_stands_still() {
        for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
            let server = MysqlServer::shared(version);
            let database = server.create_database();
            server.batch(&database, "CREATE TABLE t (n int)");
            let config = MysqlConfig::new(server.url(&database)).with_variables([]);
            let setup = config.setup(&BuildContext::new(NodePath::new("db").unwrap(), "/")).unwrap();
            // On one thread, which stands still while nobody waits on it.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let kept = runtime.block_on(async {
                let mut session = Session::open(&setup, "test").await.unwrap();
                session.run("LOCK TABLES t READ").await.unwrap();
                let kept = Kept::with(session, Duration::from_millis(300), 2).await.unwrap();
                tokio::time::sleep(Duration::from_secs(5)).await;
                kept
            });
            assert!(is_locked(server, &database), "{version:?}: it was let go while we were there");
            soon("the server lets go", || !is_locked(server, &database));
            let gone = runtime.block_on(async { kept.session().await.unwrap().run("DO 0").await });
            assert!(gone.is_err());
            server.drop_database(&database);
        }
    }
}
