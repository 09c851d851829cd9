//! Sessions that a killed process has left.

use super::*;
use crate::connect::Connection;
use crate::restore::names::Names;
use crate::restore::server::Server;

/// The server as that login, for a run of its own.
fn as_login(server: &PostgresServer, database: &str, run: &str, login: &str) -> Server {
    let mut setup = setup(server, database);
    login.clone_into(&mut setup.target.user);
    let sessions = Names::new(database, run).sessions;
    Server { target: setup.target, maintenance_db: None, lock_timeout: None, sessions }
}

/// A session that is left in the middle of a restore in place.
async fn left(server: &Server, database: &str) -> Connection {
    let left = server.session(database).await.unwrap();
    left.batch_execute("BEGIN; LOCK TABLE public.old").await.unwrap();
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_ended_also_if_the_login_takes_another_role() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    server.batch(
        &database,
        "CREATE ROLE left_owner; CREATE ROLE left_login LOGIN IN ROLE left_owner; \
         ALTER ROLE left_login SET role = left_owner; ALTER TABLE public.old OWNER TO left_owner",
    );
    let run = run();
    let of_login = as_login(server, &database, &run, "left_login");
    let hanging = left(&of_login, &database).await;
    let others =
        as_login(server, &database, "of another run", "left_login").session(&database).await.unwrap();
    let by = of_login.session(&database).await.unwrap();
    of_login.end_left_sessions(&by).await.unwrap();
    server.batch(&database, "SET lock_timeout = '1s'; LOCK TABLE public.old");
    assert!(hanging.batch_execute("SELECT 1").await.is_err(), "it lives");
    others.batch_execute("SELECT 1").await.unwrap();
    let role = by.query_one("SELECT current_user::text", &[]).await.unwrap();
    assert_eq!(role.get::<_, &str>(0), "left_owner", "the session goes on as what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_login_does_not_take_them_for_gone() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    server.batch(
        &database,
        "CREATE ROLE left_before LOGIN; CREATE ROLE left_after LOGIN; GRANT ALL ON public.old TO left_before",
    );
    let run = run();
    let hanging = left(&as_login(server, &database, &run, "left_before"), &database).await;
    let after = as_login(server, &database, &run, "left_after");
    let by = after.session(&database).await.unwrap();
    let error = after.end_left_sessions(&by).await.unwrap_err();
    assert!(error.to_string().contains("`left_before`"), "{error}");
    assert!(error.hint().unwrap().contains("pg_terminate_backend"), "{error:?}");
    hanging.batch_execute("SELECT 1").await.unwrap();
    server.batch("postgres", "GRANT pg_signal_backend TO left_after");
    after.end_left_sessions(&by).await.unwrap();
    assert!(hanging.batch_execute("SELECT 1").await.is_err(), "it lives");
}
