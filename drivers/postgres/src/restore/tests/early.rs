//! Indexes that are made while rows are loaded.

use std::time::Duration;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_fails_ends_the_load_at_the_next_part() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    let mut contents = contents();
    // There are two of a kind in it.
    let mut unique = item(8, "post-data", "INDEX", "u_bad", "CREATE UNIQUE INDEX u_bad ON s.u (a);", &[3]);
    unique["table"] = json!(["s", "u"]);
    contents["items"].as_array_mut().unwrap().push(unique);
    let archive = archive(&contents);
    let cx = StageContext::new(run());
    let mut restore = Restore::of_archive(&setup(server, &database), archive.clone(), cx).await.unwrap();
    restore.begin().await.unwrap();
    let part = |name: &str| archive.parts().find(|part| part.name.as_str() == name).unwrap();
    let (of_t, of_u) = (part("data/s/t/0001"), part("data/s/u/0001"));
    let load = async |part: &ArchivedPart| {
        let mut from = archive.read(&part.name).unwrap();
        Staging::load(&restore, part, &mut PartReader::new(&mut *from)).await
    };
    load(&of_u).await.unwrap();
    // It is made meanwhile. There are always more rows.
    let mut failed = None;
    for _ in 0..1000 {
        failed = load(&of_t).await.err();
        if failed.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let said = format!("{:?}", failed.expect("the load goes on"));
    assert!(said.contains("can't make INDEX `s.u_bad`") && said.contains("23505"), "{said}");
    // It is told once, and what comes after does not hide it.
    assert_eq!(load(&of_t).await.unwrap_err().kind(), dumprestore_driver::ErrorKind::Cancelled);
    assert!(restore.prepare().await.is_err());
    restore.rollback().await.unwrap();
    assert_eq!(beside(server, &database), "");
}
