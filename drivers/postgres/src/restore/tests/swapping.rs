//! The swap, its undo, and what is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::*;
use crate::connect::connect;

const OLD: &str = "old";
const NEW: &str = "t,u";

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_the_server_restores_and_takes_back() {
    for version in PostgresVersion::ALL {
        let server = PostgresServer::shared(version);
        let database = live(server);
        let (setup, archive) = (setup(server, &database), archive(&contents()));
        let mut restore = staged(&setup, &archive).await;
        assert_eq!(state(server, &database), OLD);
        restore.commit().await.unwrap();
        let rows = "SELECT string_agg(a || coalesce(b, '-'), ',') FROM s.t";
        assert_eq!(server.value(&database, rows), "1one,2-", "{version:?}");
        assert_eq!(server.value(&database, "SELECT nextval('s.q')"), "8");
        assert_eq!(server.value(&database, "SHOW work_mem"), "5MB");
        restore.rollback().await.unwrap();
        assert_eq!(state(server, &database), OLD, "{version:?}");
        assert_eq!(beside(server, &database), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_put_back_or_replaced_by_what_is_kept_later() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    let (setup, archive) = (setup(server, &database), archive(&contents()));
    for _ in 0..2 {
        let mut restore = staged(&setup, &archive).await;
        restore.commit().await.unwrap();
        Staging::finish(&mut restore, OldState::Keep).await.unwrap().unwrap();
        assert_eq!(beside(server, &database), format!("{database}.dumprestore-previous"));
    }
    server.batch(&database, "DROP TABLE s.u");
    let mut restore = staged(&setup, &archive).await;
    restore.commit().await.unwrap();
    let kept = Staging::finish(&mut restore, OldState::Keep).await.unwrap().unwrap();
    let inside = server.try_batch(&format!("{database}.dumprestore-previous"), "SELECT 1");
    assert!(inside.unwrap_err().contains("not currently accepting connections"));
    let mut back = Restore::of_kept(&setup, &kept, StageContext::new(run())).unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    assert_eq!(state(server, &database), "t");
    Staging::finish(&mut back, OldState::Drop).await.unwrap();
    assert_eq!(beside(server, &database), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_was_no_database_is_put_back_as_well() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    server.drop_database(&database);
    let (setup, archive) = (setup(server, &database), archive(&contents()));
    let mut restore = staged(&setup, &archive).await;
    restore.commit().await.unwrap();
    let kept = Staging::finish(&mut restore, OldState::Keep).await.unwrap().unwrap();
    assert_eq!(state(server, &database), NEW);
    let mut back = Restore::of_kept(&setup, &kept, StageContext::new(run())).unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    assert!(server.try_batch(&database, "SELECT 1").unwrap_err().contains("does not exist"));
    back.rollback().await.unwrap();
    assert_eq!(state(server, &database), NEW);
    back = Restore::of_kept(&setup, &kept, StageContext::new(run())).unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    Staging::finish(&mut back, OldState::Drop).await.unwrap();
    assert!(server.try_batch(&database, "SELECT 1").unwrap_err().contains("does not exist"));
    assert_eq!(beside(server, &database), "");
}

/// Whichever token the journal has, and however far the restore came since, it goes back and it goes forth.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_happened_is_told_by_the_databases_and_not_by_the_journal() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    let (setup, archive) = (setup(server, &database), archive(&contents()));
    for forth in [false, true] {
        for done in 0..=4 {
            let mut restore =
                Restore::of_archive(&setup, archive.clone(), StageContext::new(run())).await.unwrap();
            let mut tokens = vec![restore.journal()];
            if done >= 1 {
                restore.begin().await.unwrap();
                tokens.push(restore.journal());
            }
            if done >= 2 {
                load_parts(&restore, &archive).await;
                restore.prepare().await.unwrap();
                tokens.push(restore.journal());
            }
            if done >= 3 {
                restore.commit().await.unwrap();
                tokens.push(restore.journal());
            }
            if done >= 4 && forth {
                Staging::finish(&mut restore, OldState::Drop).await.unwrap();
            }
            drop(restore);
            // The journal is never more than one step behind.
            for token in tokens.into_iter().rev().take(2) {
                for _twice in 0..2 {
                    let cx = StageContext::new("another");
                    let mut resumed = Restore::of_token(&setup, &token, cx).unwrap();
                    if forth && resumed.entry.step >= Step::Prepared {
                        resumed.commit().await.unwrap();
                        Staging::finish(&mut resumed, OldState::Drop).await.unwrap();
                        assert_eq!(state(server, &database), NEW, "{token}");
                    } else if !forth || done < 2 {
                        resumed.rollback().await.unwrap();
                        assert_eq!(state(server, &database), OLD, "{token}");
                    }
                    if !forth || resumed.entry.step >= Step::Prepared {
                        assert_eq!(beside(server, &database), "", "{token}");
                    }
                }
            }
            server.drop_database(&database);
            server.batch("postgres", &format!("CREATE DATABASE {database}"));
            server.batch(&database, "CREATE TABLE public.old (x integer)");
        }
    }
}

/// A kill between the journal and the end of `begin`: the database is there, and nothing says so but its mark.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_made_unseen_is_dropped_and_a_foreign_one_is_not() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    let (setup, archive) = (setup(server, &database), archive(&contents()));
    let run = run();
    let mut restore = Restore::of_archive(&setup, archive.clone(), StageContext::new(&run)).await.unwrap();
    let token = restore.journal();
    restore.begin().await.unwrap();
    let staged = restore.names.staged.clone();
    drop(restore);
    assert_eq!(beside(server, &database), staged);
    let mut resumed = Restore::of_token(&setup, &token, StageContext::new("another")).unwrap();
    resumed.rollback().await.unwrap();
    assert_eq!(beside(server, &database), "");
    server.batch("postgres", &format!("CREATE DATABASE \"{staged}\""));
    resumed.rollback().await.unwrap();
    assert_eq!(beside(server, &database), staged);
    server.drop_database(&staged);
}

/// What the server says to a role that wants to get in.
fn refusal(server: &PostgresServer, role: &str, database: &str) -> Option<String> {
    server.try_batch(database, "SELECT 1").unwrap();
    let url = server.url(database).replace("postgres://postgres", &format!("postgres://{role}"));
    assert!(url.contains(role), "{url}");
    let entered = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tokio_postgres::connect(&url, tokio_postgres::NoTls)).map(drop)
    });
    entered.join().unwrap().err().map(|error| format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_into_what_is_made_who_does_not_get_into_what_is_live() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    server.batch("postgres", "CREATE ROLE swap_spy LOGIN; CREATE ROLE swap_owner LOGIN CREATEDB");
    for (login, acl) in [
        ("postgres", json!(["postgres=CTc/postgres"])),
        ("swap_owner", json!(["swap_owner=CTc/swap_owner"])),
        ("swap_owner", Value::Null),
    ] {
        let database = live(server);
        let mut contents = contents();
        contents["database"]["owner"] = json!(login);
        contents["database"]["acl"] = acl.clone();
        // Would have let somebody in, had it been open for a moment.
        contents["items"].as_array_mut().unwrap().push(item(
            8,
            "pre-data",
            "TABLE",
            "entered",
            "CREATE TABLE s.entered AS SELECT has_database_privilege('swap_spy', current_database(), 'CONNECT');",
            &[1],
        ));
        server.batch("postgres", &format!("ALTER DATABASE {database} OWNER TO {login}"));
        let (mut setup, archive) = (setup(server, &database), archive(&contents));
        login.clone_into(&mut setup.target.user);
        setup.owners = crate::Policy::None;
        let mut restore =
            Restore::of_archive(&setup, archive.clone(), StageContext::new(run())).await.unwrap();
        restore.begin().await.unwrap();
        let staged = restore.names.staged.clone();
        let is_refused = |database: &str| {
            refusal(server, "swap_spy", database).is_some_and(|said| said.contains("permission denied"))
        };
        assert!(is_refused(&staged));
        load_parts(&restore, &archive).await;
        assert!(is_refused(&staged));
        restore.prepare().await.unwrap();
        assert_eq!(is_refused(&staged), !acl.is_null());
        // As a hook does.
        assert_eq!(refusal(server, login, &staged), None);
        restore.commit().await.unwrap();
        assert_eq!(is_refused(&database), !acl.is_null());
        assert_eq!(server.value(&database, "SELECT has_database_privilege FROM s.entered"), "f");
        Staging::finish(&mut restore, OldState::Drop).await.unwrap();
    }
}

/// Applications that come back at once, and hold a session open as long as they may.
fn crowd(url: &str, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<(u64, u64)>> {
    (0..6)
        .map(|_| {
            let (url, stop) = (url.to_owned(), stop.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let (mut entered, mut refused) = (0, 0);
                    while !stop.load(Ordering::Relaxed) {
                        match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                            Ok((client, connection)) => {
                                entered += 1;
                                let driving = tokio::spawn(connection);
                                while client.simple_query("SELECT 1").await.is_ok()
                                    && !stop.load(Ordering::Relaxed)
                                {}
                                driving.abort();
                            }
                            Err(_) => refused += 1,
                        }
                    }
                    (entered, refused)
                })
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_comes_back_at_once_does_not_stop_the_swap() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = server.create_database();
    let (setup, archive) = (setup(server, &database), archive(&contents()));
    let stop = Arc::new(AtomicBool::new(false));
    let crowd = crowd(&server.url(&database), &stop);
    for _ in 0..5 {
        let mut restore =
            Restore::of_archive(&setup, archive.clone(), StageContext::new(run())).await.unwrap();
        load(&mut restore, &archive).await;
        let begun = std::time::Instant::now();
        restore.commit().await.unwrap();
        println!("committed in {:?}", begun.elapsed());
        let begun = std::time::Instant::now();
        restore.rollback().await.unwrap();
        println!("rolled back in {:?}", begun.elapsed());
    }
    let mut restore = Restore::of_archive(&setup, archive.clone(), StageContext::new(run())).await.unwrap();
    load(&mut restore, &archive).await;
    restore.commit().await.unwrap();
    Staging::finish(&mut restore, OldState::Drop).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let counts: Vec<_> = crowd.into_iter().map(|client| client.join().unwrap()).collect();
    println!("entered, refused: {counts:?}");
    assert_eq!(server.value(&database, "SELECT count(*) FROM s.t"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_limit_holds_from_the_swap_on() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    server.batch("postgres", "CREATE ROLE limited LOGIN CREATEDB");
    let database = live(server);
    server.drop_database(&database);
    let mut contents = contents();
    contents["database"]["owner"] = json!("limited");
    contents["database"]["acl"] = Value::Null;
    contents["database"]["connection_limit"] = json!(1);
    let mut setup = setup(server, &database);
    setup.target.user = "limited".to_owned();
    let restore = staged(&setup, &archive(&contents)).await;
    // As many as a hook may want.
    let target = setup.target.with_database(&restore.names.staged);
    let first = connect(&target, "hook").await.unwrap();
    let second = connect(&target, "hook").await.unwrap();
    for session in [first, second] {
        session.close().await;
    }
    // What comes after a crash knows of it as well.
    let token = restore.journal();
    drop(restore);
    let mut restore = Restore::of_token(&setup, &token, StageContext::new(run())).unwrap();
    restore.commit().await.unwrap();
    let limit = format!("SELECT datconnlimit FROM pg_database WHERE datname = '{database}'");
    assert_eq!(server.value("postgres", &limit), "1");
    Staging::finish(&mut restore, OldState::Drop).await.unwrap();
    assert_eq!(server.value("postgres", &limit), "1");
}
