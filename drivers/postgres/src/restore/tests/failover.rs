//! What is done about a transaction in place that the server does not know any more.

use dumprestore_driver::ErrorKind;

use super::*;

/// A restore in place whose commit a crash cut off, in the history of a server that is gone.
fn forgotten(server: &PostgresServer, database: &str, step: &str) -> InPlace {
    let token = json!({ "version": 1, "placement": "in_place", "run": run(), "live": database, "step": step,
        "transaction": { "id": 1000, "timeline": "FFFFFFFF", "server": null } });
    let cx = StageContext::new(run());
    InPlace::of_token(&setup(server, database), &token, cx).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_server_has_forgotten_is_told_and_does_not_keep_the_others_from_going_forward() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    for step in ["prepared", "committed"] {
        let mut resumed = forgotten(server, &database, step);
        Staging::commit(&mut resumed).await.unwrap();
        assert_eq!(Staging::finish(&mut resumed, OldState::Drop).await.unwrap(), None);
        let told = Staging::ledger(&resumed);
        assert_eq!(told.iter().any(|entry| entry.degrades), step == "prepared", "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_server_has_forgotten_is_not_taken_back_and_nobody_is_sent_to_recover() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    let mut resumed = forgotten(server, &database, "prepared");
    assert_eq!(Staging::took_effect(&mut resumed).await.unwrap(), None);
    let error = Staging::rollback(&mut resumed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    assert!(!error.hint().unwrap().contains("recover"), "{error:?}");
}
