//! Restores that fail: with an error that says what, and nothing changed.

use super::*;

/// Restores contents that differ in something, up to an error, and rolls back.
async fn fails(server: &PostgresServer, login: &str, differ: impl FnOnce(&mut Value, &mut Archive)) -> Error {
    let database = live(server);
    let mut contents = contents();
    let mut made = Arc::into_inner(archive(&contents)).unwrap();
    differ(&mut contents, &mut made);
    made.parts.get_mut("contents.json").unwrap().0 = contents.to_string().into_bytes();
    let made = Arc::new(made);
    let mut setup = setup(server, &database);
    login.clone_into(&mut setup.target.user);
    server.batch("postgres", &format!("ALTER DATABASE {database} OWNER TO {login}"));
    let mut restore = Restore::of_archive(&setup, made.clone(), StageContext::new(run())).await.unwrap();
    let error = goes(&mut restore, &made).await.expect_err("it can't work");
    restore.rollback().await.unwrap();
    assert_eq!(state(server, &database), "old");
    assert_eq!(beside(server, &database), "");
    error
}

async fn goes(restore: &mut Restore, archive: &Archive) -> Result<()> {
    restore.begin().await?;
    for part in archive.parts().filter(|part| restore.wants(part)) {
        let mut from = archive.read(&part.name)?;
        Staging::load(restore, &part, &mut PartReader::new(&mut *from)).await?;
    }
    restore.prepare().await?;
    restore.commit().await
}

fn set_part(archive: &mut Archive, name: &str, text: &str, rows: u64) {
    archive.parts.insert(name.to_owned(), (text.as_bytes().to_vec(), Some(rows)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_object_that_can_t_be_made_is_named() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let by = "postgres";
    let error = fails(server, by, |contents, _| {
        contents["items"][1]["sql"] = json!("CREATE TABLE s.t (a nonsense);")
    })
    .await;
    let said = error.to_string();
    assert!(
        said.contains("can't make TABLE `s.t`") && said.contains("CREATE TABLE s.t (a nonsense)"),
        "{said}"
    );
    let error = fails(server, by, |_, archive| set_part(archive, "data/s/u/0001", "1\n404\n", 2)).await;
    let said = error.to_string();
    assert!(said.contains("can't make FK CONSTRAINT `s.u u_fk`") && said.contains("404"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_missing_or_do_not_fit_are_the_archives_fault() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let by = "postgres";
    let error = fails(server, by, |_, archive| set_part(archive, "data/s/u/0001", "1\n1\n", 3)).await;
    assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Archive);
    assert!(error.to_string().contains("has 2 rows, and not 3"), "{error}");
    let error = fails(server, by, |_, archive| set_part(archive, "data/s/t/0001", "one\tx\n", 1)).await;
    assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Archive);
    assert!(error.to_string().contains("s.t"), "{error}");
    let error = fails(server, by, |_, archive| drop(archive.parts.remove("data/s/u/0001"))).await;
    assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Archive);
    assert!(error.to_string().contains("data/s/u/0001"), "{error}");
    let error = fails(server, by, |_, archive| set_part(archive, "data/s/v/0001", "", 0)).await;
    assert!(error.to_string().contains("data/s/v/0001"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_may_not_be_ended_stop_the_swap_and_are_named() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    server.batch("postgres", "CREATE ROLE fault_maker LOGIN CREATEDB");
    let database = live(server);
    server.batch("postgres", &format!("ALTER DATABASE {database} OWNER TO fault_maker"));
    let mut contents = contents();
    contents["database"]["owner"] = json!("fault_maker");
    contents["database"]["acl"] = Value::Null;
    let (mut setup, archive) = (setup(server, &database), archive(&contents));
    "fault_maker".clone_into(&mut setup.target.user);
    setup.owners = crate::Policy::None;
    let session = server.client(&database).await;
    let mut restore = staged(&setup, &archive).await;
    let error = restore.commit().await.unwrap_err();
    assert!(error.to_string().contains("user `postgres`"), "{error:?}");
    assert!(error.hint().unwrap().contains("pg_signal_backend"), "{error:?}");
    session.simple_query("SELECT 1 FROM public.old").await.unwrap();
    drop(session);
    restore.commit().await.unwrap();
    assert_eq!(state(server, &database), "t,u");
    restore.rollback().await.unwrap();
    assert_eq!(state(server, &database), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_leaves_what_can_be_rolled_back_or_committed() {
    let server = PostgresServer::start(PostgresVersion::V15);
    let database = live(&server);
    let (setup, archive) = (setup(&server, &database), archive(&contents()));
    let mut restore = Restore::of_archive(&setup, archive.clone(), StageContext::new(run())).await.unwrap();
    restore.begin().await.unwrap();
    server.kill();
    assert!(restore.prepare().await.is_err());
    assert!(restore.rollback().await.is_err());
    server.restart();
    restore.rollback().await.unwrap();
    assert_eq!(beside(&server, &database), "");
    // What was loaded last may be lost, although the server is there again.
    let mut restore = Restore::of_archive(&setup, archive.clone(), StageContext::new(run())).await.unwrap();
    restore.begin().await.unwrap();
    load_parts(&restore, &archive).await;
    server.kill();
    server.restart();
    let error = restore.prepare().await.unwrap_err();
    assert!(error.hint().is_some(), "{error:?}");
    restore.rollback().await.unwrap();
    let mut restore = staged(&setup, &archive).await;
    server.kill();
    server.restart();
    restore.commit().await.unwrap();
    assert_eq!(state(&server, &database), "t,u");
    server.kill();
    server.restart();
    assert_eq!(server.value(&database, "SELECT count(*) FROM s.t"), "2");
    restore.rollback().await.unwrap();
    assert_eq!(state(&server, &database), "old");
    assert_eq!(beside(&server, &database), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_a_restore_made_go_with_it() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    let mut contents = contents();
    contents["roles"] = json!([
        { "name": "fault_new", "sql": ["CREATE ROLE fault_new;", "COMMENT ON ROLE fault_new IS 'its own';"] },
        { "name": "fault_group", "sql": ["CREATE ROLE fault_group;", "GRANT fault_new TO fault_group;"] },
    ]);
    contents["items"][1]["owned"] = json!("TABLE s.t");
    contents["items"][1]["owner"] = json!("fault_new");
    let (setup, archive) = (setup(server, &database), archive(&contents));
    let count = "SELECT count(*) FROM pg_roles WHERE rolname IN ('fault_new', 'fault_group')";
    let mut restore = staged(&setup, &archive).await;
    assert_eq!(server.value("postgres", count), "2");
    restore.rollback().await.unwrap();
    assert_eq!(server.value("postgres", count), "0");
    let mut restore = staged(&setup, &archive).await;
    restore.commit().await.unwrap();
    Staging::finish(&mut restore, OldState::Drop).await.unwrap();
    let comments = "SELECT string_agg(coalesce(shobj_description(oid, 'pg_authid'), '-'), ',' ORDER BY rolname) \
        FROM pg_roles WHERE rolname IN ('fault_new', 'fault_group')";
    assert_eq!(server.value("postgres", comments), "-,its own");
    assert_eq!(
        server.value(&database, "SELECT tableowner FROM pg_tables WHERE tablename = 't'"),
        "fault_new"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_ends_what_the_server_is_at() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    let mut contents = contents();
    contents["items"][4]["sql"] = json!("SELECT pg_sleep(60);");
    let (setup, archive) = (setup(server, &database), archive(&contents));
    let cancel = Cancel::default();
    let cx = StageContext::new(run()).with_cancel(cancel.clone());
    let mut restore = Restore::of_archive(&setup, archive.clone(), cx).await.unwrap();
    restore.begin().await.unwrap();
    load_parts(&restore, &archive).await;
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        cancel.cancel();
    });
    let begun = std::time::Instant::now();
    let error = restore.prepare().await.unwrap_err();
    assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Cancelled);
    restore.rollback().await.unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    assert_eq!(beside(server, &database), "");
}
