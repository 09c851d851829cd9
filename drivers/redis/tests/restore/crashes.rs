//! A server that is killed at any moment of a restore, and comes up again.

use std::time::Duration;

use dumprestore_driver::{ErrorKind, OldState, StageContext, Token};
use dumprestore_testkit::{RedisOptions, RedisVersion, Seed};

use crate::archive::{Ground, driver_of, load, run};

/// How far a restore comes, and after how many microseconds of the next step the server is killed.
const MOMENTS: [(u32, u64); 17] = [
    (0, 0),
    (0, 300),
    (0, 1_000),
    (1, 0),
    (1, 500),
    (1, 2_000),
    (2, 0),
    (2, 500),
    (2, 1_500),
    (3, 0),
    (3, 200),
    (3, 600),
    (3, 1_200),
    (3, 3_000),
    (4, 0),
    (4, 500),
    (4, 1_500),
];

impl Ground {
    /// Restores up to a moment at which the server is killed. Gives the journal's token and the run.
    async fn killed_at(&self, steps: u32, after: u64) -> (Token, String) {
        let run = run();
        let cx = StageContext::new(run.clone());
        let mut staging = self.driver.stage(self.dump.node.clone(), cx).await.unwrap();
        if steps > 0 {
            staging.begin().await.unwrap();
        }
        if steps > 1 {
            load(&*staging, &*self.dump.node).await.unwrap();
        }
        if steps > 2 {
            staging.prepare().await.unwrap();
        }
        if steps > 3 {
            staging.commit().await.unwrap();
        }
        let token = staging.journal();
        let next = async {
            match steps {
                0 => staging.begin().await,
                1 => tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(load(&*staging, &*self.dump.node))
                }),
                2 => staging.prepare().await,
                3 => staging.commit().await,
                _ => staging.rollback().await,
            }
        };
        let killer = async {
            let server = &self.source.server;
            std::thread::scope(|scope| {
                let killing = scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(after));
                    server.kill();
                });
                let _whatever = tokio::runtime::Handle::current();
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(next).is_ok());
                killing.join().unwrap();
            });
        };
        killer.await;
        self.source.server.restart();
        (token, run)
    }

    async fn roll_back(&self, token: &Token, run: &str, what: &str) {
        for _twice in 0..2 {
            let mut again = self.driver.resume(token, StageContext::new(run)).await.unwrap();
            again.rollback().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_that_writes_a_log_is_recovered() {
    let ground = Ground::with(&RedisOptions::new(RedisVersion::Redis7_0).durable(), driver_of).await;
    for (steps, after) in MOMENTS {
        let what = format!("killed {after} us into step {steps}");
        let (token, run) = ground.killed_at(steps, after).await;
        ground.roll_back(&token, &run, &what).await;
        assert!(ground.source.fingerprint() == ground.before, "{what}");
        assert!(ground.source.beside().is_empty(), "{what}: {:?}", ground.source.beside());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_killed_server_cut_off_goes_forward() {
    let ground = Ground::with(&RedisOptions::new(RedisVersion::Redis7_0).durable(), driver_of).await;
    for after in [0, 200, 500, 1_000, 2_000] {
        ground.source.seed(Seed::Hostile);
        let (token, run) = ground.killed_at(3, after).await;
        for _twice in 0..2 {
            let mut again = ground.driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
            match again.commit().await {
                Ok(()) => again.finish(OldState::Drop).await.map(drop).unwrap(),
                // The second time, nothing is left to tell that it was finished.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}"),
            }
            assert!(ground.source.fingerprint() == ground.dumped, "{after}");
            assert!(ground.source.beside().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_that_saves_now_and_then_is_recovered_from_any_save() {
    let ground = Ground::new().await;
    for saved in 0..=4u32 {
        for (steps, after) in MOMENTS.into_iter().filter(|(steps, _)| *steps >= saved).step_by(3) {
            let what = format!("saved before step {saved}, killed {after} us into step {steps}");
            let run = run();
            let cx = StageContext::new(run.clone());
            let mut staging = ground.driver.stage(ground.dump.node.clone(), cx).await.unwrap();
            let mut token = staging.journal();
            for step in 0..=steps {
                if step == saved {
                    ground.source.save();
                }
                token = staging.journal();
                match step {
                    0 => staging.begin().await.unwrap(),
                    1 => load(&*staging, &*ground.dump.node).await.unwrap(),
                    2 => staging.prepare().await.unwrap(),
                    3 => staging.commit().await.unwrap(),
                    _ => {}
                }
            }
            ground.source.server.kill();
            ground.source.server.restart();
            ground.roll_back(&token, &run, &what).await;
            assert!(ground.source.fingerprint() == ground.before, "{what}");
            assert!(ground.source.beside().is_empty(), "{what}: {:?}", ground.source.beside());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_nothing_is_not_said_to_hold_the_new_keys() {
    let ground = Ground::new().await;
    for steps in 0..=4 {
        ground.source.seed(Seed::Hostile);
        let (token, run) = ground.killed_at(steps, 0).await;
        let mut again = ground.driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
        let error = again.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
        ground.roll_back(&token, &run, "nothing is there").await;
        assert_eq!(ground.source.ask::<u64>(0, &["DBSIZE"]), 0);
        assert!(ground.source.beside().is_empty());
    }
}
