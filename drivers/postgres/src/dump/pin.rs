//! The pin: locks first, then the snapshot.
//!
//! In one transaction all tables are locked as readers lock them, and only then its snapshot is taken: `LOCK TABLE` is
//! the one kind of statement that takes none. What changes a definition, or rewrites or empties a table, waits for such
//! a lock or was committed before it; so the snapshot sees either all of such a change or nothing, and later, until the
//! transaction ends, none can come. The other way round an old snapshot would read a table as empty that was truncated
//! between it and the lock.
//!
//! What was created or renamed between the list and the locks is found by reading the list again in the snapshot: if it
//! is another, the pin is made again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dumprestore_driver::{CutMode, Error, Facts, Result};
use tokio::sync::Mutex;

use super::barrier::Barrier;
use super::choice::{Choice, Chosen};
use super::lanes::{Lanes, Patience};
use crate::catalog::{Relation, relations, schemas};
use crate::config::Setup;
use crate::connect::{Connection, Target, connect, refuse_pooler, sqlstate};
use crate::quote;

/// How often definitions may change while the pin is made.
const TRIES: u32 = 20;

/// A view that is held until it is released.
pub(crate) struct Pinned {
    /// Holds the snapshot, and the locks. Busy while a part is read on it.
    pub(crate) main: Mutex<Connection>,
    pub(crate) version: u32,
    pub(crate) patience: Patience,
    pub(crate) is_standby: bool,
    pub(crate) relations: Vec<Relation>,
    pub(crate) chosen: Chosen,
    pub(crate) facts: Facts,
    /// Where scratch files go.
    pub(crate) scratch: PathBuf,
    pub(crate) lanes: Lanes,
    barrier: Option<Barrier>,
}

impl Pinned {
    /// Takes it.
    pub(crate) async fn take(setup: &Setup, choice: &Choice, mode: CutMode, scratch: &Path) -> Result<Self> {
        let patience = Patience { lock: setup.lock_timeout, statement: setup.statement_timeout };
        let main = connect(&setup.target, "dumprestore: dump, pin").await?;
        refuse_pooler(&main).await?;
        // Of several servers, only the one that has the snapshot will do for the lanes.
        let target = main.target().clone();
        for _ in 0..TRIES {
            let Some(held) = Held::take(&main, &target, choice, mode, patience).await? else {
                rollback(&main).await?;
                continue;
            };
            return Ok(Self::new(main, target, held, patience, scratch));
        }
        Err(Error::environment("definitions change faster than the tables can be locked")
            .with_hint("is a migration running? run it again when it has ended"))
    }

    fn new(main: Connection, target: Target, held: Held, patience: Patience, scratch: &Path) -> Self {
        let version = main.version();
        Self {
            version,
            patience,
            is_standby: held.is_standby,
            relations: held.relations,
            chosen: held.chosen,
            facts: held.facts,
            scratch: scratch.to_owned(),
            lanes: Lanes::new(target, held.snapshot, patience),
            barrier: held.barrier,
            main: Mutex::new(main),
        }
    }

    /// Lets writers go on, and says for how long they were kept out.
    pub(crate) async fn unlock(&mut self) -> Option<Duration> {
        let barrier = self.barrier.take()?;
        let waited = barrier.lower().await;
        self.facts.insert("writers_waited_ms".to_owned(), waited.as_millis().to_string());
        Some(waited)
    }

    /// Lets everything go.
    pub(crate) async fn release(mut self) {
        self.unlock().await;
        self.lanes.close().await;
        self.main.into_inner().close().await;
    }

    /// The relation of that number.
    pub(crate) fn relation(&self, oid: u32) -> Option<&Relation> {
        let at = self.relations.binary_search_by_key(&oid, |relation| relation.oid).ok()?;
        self.relations.get(at)
    }
}

struct Held {
    snapshot: String,
    is_standby: bool,
    relations: Vec<Relation>,
    chosen: Chosen,
    facts: Facts,
    barrier: Option<Barrier>,
}

impl Held {
    /// `None`: a definition changed meanwhile.
    async fn take(
        main: &Connection,
        target: &Target,
        choice: &Choice,
        mode: CutMode,
        patience: Patience,
    ) -> Result<Option<Self>> {
        let relations = relations(main).await?;
        let chosen = choice.pick(&schemas(main).await?, &relations)?;
        let tables = lockable(&relations, &chosen);
        if !lock(main, &tables, patience).await? {
            return Ok(None);
        }
        let barrier = match mode {
            CutMode::Open => None,
            CutMode::Locked => Some(Barrier::raise(target, &tables, patience.lock).await?),
        };
        let (snapshot, is_standby, facts) = export(main).await?;
        let now = crate::catalog::relations(main).await?;
        let same = chosen == choice.pick(&schemas(main).await?, &now)? && relations == now;
        Ok(same.then_some(Self { snapshot, is_standby, relations, chosen, facts, barrier }))
    }
}

fn lockable(relations: &[Relation], chosen: &Chosen) -> Vec<String> {
    let wanted = relations.iter().filter(|relation| relation.is_lockable() && !chosen.omits(relation.oid));
    wanted.map(|relation| quote::qualified(&relation.schema, &relation.name)).collect()
}

/// `false`: one of them is gone, or is another thing now.
async fn lock(main: &Connection, tables: &[String], patience: Patience) -> Result<bool> {
    let settings = format!("{}{}", main.local_basics(), patience.sql());
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}");
    let what = "can't begin to read the database";
    main.batch_execute(&begin).await.map_err(|error| main.fault(error, what))?;
    if tables.is_empty() {
        return Ok(true);
    }
    let lock = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", tables.join(", ONLY "));
    let Err(error) = main.batch_execute(&lock).await else { return Ok(true) };
    let error = main.fault(error, "can't lock the tables for reading");
    match sqlstate(&error) {
        Some("42P01" | "3F000" | "42809") => Ok(false),
        Some("42501") => Err(error.with_hint(
            "grant the login `USAGE` on all schemas and `SELECT` on all tables, or leave tables out with \
             `exclude_tables`",
        )),
        _ => Err(error),
    }
}

/// The first query of the transaction, which takes its snapshot.
const EXPORT: &str = "
    SELECT pg_catalog.pg_export_snapshot(), pg_catalog.pg_is_in_recovery(),
        CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_insert_lsn() END::text,
        pg_catalog.current_setting('server_version'), pg_catalog.txid_current_snapshot()::text,
        pg_catalog.now()::text";

const CONTROL: &str = "
    SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
        (SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint())";

const MAY_READ_CONTROL: &str = "
    SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
        AND pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE')";

async fn export(main: &Connection) -> Result<(String, bool, Facts)> {
    let what = "can't export a snapshot";
    let row = main.query_one(EXPORT, &[]).await.map_err(|error| main.fault(error, what))?;
    let (snapshot, is_standby): (String, bool) = (row.get(0), row.get(1));
    let mut facts = Facts::new();
    let mut note = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    note("lsn", row.get(2));
    note("server_version", row.get(3));
    note("snapshot", row.get(4));
    note("pinned_at", row.get(5));
    note("standby", is_standby.then(|| "true".to_owned()));
    let may = main.query_one(MAY_READ_CONTROL, &[]).await.map_err(|error| main.fault(error, what))?;
    if may.get(0) {
        let row = main.query_one(CONTROL, &[]).await.map_err(|error| main.fault(error, what))?;
        note("system_identifier", row.get(0));
        note("timeline", row.get(1));
    }
    Ok((snapshot, is_standby, facts))
}

async fn rollback(main: &Connection) -> Result<()> {
    main.batch_execute("ROLLBACK").await.map_err(|error| main.fault(error, "can't end a transaction"))
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::{BuildContext, NodePath};
    use dumprestore_testkit::{PostgresServer, PostgresVersion};

    use super::*;
    use crate::PostgresConfig;

    /// What a session is, if the settings that it was opened with got lost.
    const LOST: &str = "RESET ALL; SET row_security = on; SET DateStyle = 'SQL, DMY'; SET extra_float_digits = 0; \
        SET search_path = 'public'; SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape'";

    async fn settings(session: &Connection) -> Vec<String> {
        let asked = "SELECT pg_catalog.current_setting(name) FROM pg_catalog.unnest(ARRAY['row_security', 'DateStyle', \
            'extra_float_digits', 'search_path', 'IntervalStyle', 'bytea_output']) WITH ORDINALITY AS s (name, at) \
            ORDER BY at";
        session.query(asked, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_rows_depend_on_is_set_in_each_transaction() {
        let server = PostgresServer::shared(PostgresVersion::V15);
        let database = server.create_database();
        server.batch(&database, "CREATE TABLE t (n int)");
        let cx = BuildContext::new(NodePath::new("db").unwrap(), "/");
        let setup = PostgresConfig::new(server.url(&database)).setup(&cx).unwrap();
        let choice = Choice::of(&setup);
        let patience = Patience::default();
        let main = connect(&setup.target, "dump, pin").await.unwrap();
        main.batch_execute(LOST).await.unwrap();
        let held = Held::take(&main, &setup.target, &choice, CutMode::Open, patience).await.unwrap().unwrap();
        let expected = ["off", "ISO, YMD", "3", "\"\"", "postgres", "hex"];
        assert_eq!(settings(&main).await, expected);
        let lane = connect(&setup.target, "dump, lane").await.unwrap();
        lane.batch_execute(LOST).await.unwrap();
        let lanes = Lanes::new(setup.target.clone(), held.snapshot, patience);
        lanes.join(&lane).await.unwrap();
        assert_eq!(settings(&lane).await, expected);
    }
}
