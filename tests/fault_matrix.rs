//! A failure, and a `kill -9`, at every step of the dump and the restore of a set of four nodes: afterwards all is
//! old or all is new, and nothing is left behind but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (40 by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use dumprestore::{
    Coherence, Destination, DumpOptions, ErrorKind, OpenArchive, RestoreFrom, RestoreOptions, RestoreOutcome,
};
use dumprestore_testkit::{Fault, Faulty, spread};
use dumprestore_tests::{Shop, State};

const PRODUCTS: u32 = 24;

/// A shop, an archive of it, its state then, and its state after a bad release.
struct Scene {
    folder: tempfile::TempDir,
    good: State,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shop = Shop::create(&folder.path().join("shop"), PRODUCTS);
        let good = shop.state();
        let scene = Self { folder, good };
        dumprestore::dump(&shop.set(), Destination::new_file(scene.archive()), DumpOptions::default())
            .await
            .unwrap();
        shop.spoil();
        scene
    }

    fn archive(&self) -> std::path::PathBuf {
        self.folder.path().join("shop.zip")
    }

    /// A copy of the spoilt shop to work on.
    fn shop(&self, name: &str) -> Shop {
        let to = self.folder.path().join(name);
        let copied =
            Command::new("cp").arg("-a").arg(self.folder.path().join("shop")).arg(&to).status().unwrap();
        assert!(copied.success());
        let _ = std::fs::remove_dir_all(to.join(".dumprestore"));
        Shop::at(&to)
    }

    fn from(&self) -> RestoreFrom {
        RestoreFrom::Archive(OpenArchive::open(&self.archive()).unwrap())
    }

    /// After `recover`, all is as before or all is as in the archive, and nothing else is there.
    async fn settle(&self, shop: &Shop, spoilt: &State, when: &str) -> bool {
        dumprestore::recover(&shop.set(), Arc::new(()))
            .await
            .unwrap_or_else(|error| panic!("{when}: {error:?}"));
        let now = shop.state();
        assert!(now == *spoilt || now == self.good, "{when}: a mix\n{}", diff(&now, spoilt, &self.good));
        assert_eq!(shop.leftovers(), Vec::<String>::new(), "{when}");
        std::fs::remove_dir_all(shop.folder()).unwrap();
        now == self.good
    }
}

fn diff(now: &State, old: &State, new: &State) -> String {
    format!("now {now:#?}\nold {old:#?}\nnew {new:#?}")
}

fn moments(count: usize) -> Vec<u64> {
    let most = match std::env::var("DUMPRESTORE_FAULTS").as_deref() {
        Ok("all") => u64::MAX,
        Ok(most) => most.parse().unwrap(),
        Err(_) => 40,
    };
    spread(count as u64, most)
}

async fn restore_watched(
    scene: &Scene,
    shop: &Shop,
    faults: &Arc<Faulty>,
) -> dumprestore::Result<RestoreOutcome> {
    let set = shop.set_watched(&[faults], Coherence::default());
    let mut options = RestoreOptions::default();
    options.cancel = faults.cancel();
    dumprestore::restore(&set, &scene.from(), &options).await.map(|report| report.outcome)
}

/// The names of all moments of an undisturbed restore.
async fn restore_moments(scene: &Scene) -> Vec<&'static str> {
    let shop = scene.shop("undisturbed");
    let faults = Arc::new(Faulty::never());
    assert_eq!(restore_watched(scene, &shop, &faults).await.unwrap(), RestoreOutcome::Ok);
    assert_eq!(shop.state(), scene.good);
    assert_eq!(shop.leftovers(), Vec::<String>::new());
    faults.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    disturb_restores(Fault::Fail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    disturb_restores(Fault::Cancel).await;
}

async fn disturb_restores(fault: Fault) {
    let scene = Scene::new().await;
    let names = restore_moments(&scene).await;
    for moment in moments(names.len()) {
        let shop = scene.shop(&format!("shop-{moment}"));
        let spoilt = shop.state();
        let faults = Arc::new(Faulty::at(moment, fault));
        let ended = restore_watched(&scene, &shop, &faults).await;
        let when = format!("{fault:?} at {moment}, {}: {ended:?}", names[moment as usize]);
        let stuck = matches!(&ended, Err(error) if error.kind() == ErrorKind::Stuck);
        if !stuck {
            let now = shop.state();
            assert_eq!(now == scene.good, ended.is_ok(), "{when}\n{}", diff(&now, &spoilt, &scene.good));
        }
        let new = scene.settle(&shop, &spoilt, &when).await;
        assert_eq!(new, ended.is_ok(), "{when}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_is_told_as_stuck_and_mended_by_recover() {
    let scene = Scene::new().await;
    let names = restore_moments(&scene).await;
    let last_commit = names.iter().rposition(|name| *name == "after commit").unwrap() as u64;
    // A first run fails at its last commit, and so shows where the rollbacks are; the others fail there as well.
    let rollbacks = rollback_moments(&scene, last_commit).await;
    assert_eq!(rollbacks.len(), 8, "before and after the rollback of each of four nodes");
    for moment in rollbacks {
        let shop = scene.shop(&format!("stuck-{moment}"));
        let spoilt = shop.state();
        let error = fail_twice(&scene, &shop, last_commit, Arc::new(Faulty::at(moment, Fault::Fail))).await;
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("recover")), "{error:?}");
        assert!(!scene.settle(&shop, &spoilt, "after a rollback that failed").await);
    }
}

async fn fail_twice(scene: &Scene, shop: &Shop, at: u64, second: Arc<Faulty>) -> dumprestore::Error {
    let first = Arc::new(Faulty::at(at, Fault::Fail));
    let set = shop.set_watched(&[&first, &second], Coherence::default());
    dumprestore::restore(&set, &scene.from(), &RestoreOptions::default()).await.unwrap_err()
}

async fn rollback_moments(scene: &Scene, last_commit: u64) -> Vec<u64> {
    let shop = scene.shop("shows-rollbacks");
    let watcher = Arc::new(Faulty::never());
    fail_twice(scene, &shop, last_commit, watcher.clone()).await;
    let names = watcher.passed().into_iter().enumerate();
    names.filter(|(_, name)| name.ends_with("rollback")).map(|(at, _)| at as u64).collect()
}

fn run_killed(shop: &Path, archive: &Path, command: &str, moment: u64) -> bool {
    let run = Command::new(env!("CARGO_BIN_EXE_killed-run"))
        .args([shop.as_os_str(), archive.as_os_str(), command.as_ref(), moment.to_string().as_ref()])
        .output()
        .unwrap();
    assert!(run.status.success() || run.status.code().is_none(), "{}", String::from_utf8_lossy(&run.stderr));
    run.status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    let scene = Scene::new().await;
    let names = restore_moments(&scene).await;
    let (mut old, mut new) = (0, 0);
    for moment in moments(names.len()) {
        let shop = scene.shop(&format!("shop-{moment}"));
        let spoilt = shop.state();
        let lived = run_killed(shop.folder(), &scene.archive(), "restore", moment);
        let when = format!("killed at {moment}, {}", names[moment as usize]);
        match scene.settle(&shop, &spoilt, &when).await {
            true => new += 1,
            false if lived => panic!("{when}: the restore worked, and yet nothing changed"),
            false => old += 1,
        }
    }
    assert!(old > 0 && new > 0, "{old} times old, {new} times new: the kills missed the restore");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::create(&folder.path().join("shop"), PRODUCTS);
    let before = shop.state();
    let archive = folder.path().join("shop.zip");
    let faults = Arc::new(Faulty::never());
    dump_watched(&shop, &archive, &faults).await.unwrap();
    let names = faults.passed();
    for moment in moments(names.len()) {
        std::fs::remove_file(&archive).unwrap();
        let ended = dump_watched(&shop, &archive, &Arc::new(Faulty::at(moment, Fault::Fail))).await;
        let when = format!("failed at {moment}, {}: {ended:?}", names[moment as usize]);
        assert_eq!(archive.exists(), ended.is_ok(), "{when}");
        assert_eq!(partials(folder.path()), Vec::<String>::new(), "{when}");
        assert_eq!(shop.leftovers(), Vec::<String>::new(), "{when}");
        assert_eq!(shop.state(), before, "{when}");
        if !archive.exists() {
            std::fs::write(&archive, "").unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::create(&folder.path().join("shop"), PRODUCTS);
    let before = shop.state();
    let archive = folder.path().join("shop.zip");
    let faults = Arc::new(Faulty::never());
    dump_watched(&shop, &archive, &faults).await.unwrap();
    std::fs::remove_file(&archive).unwrap();
    let names = faults.passed();
    for moment in moments(names.len()) {
        let lived = run_killed(shop.folder(), &archive, "dump", moment);
        let when = format!("killed at {moment}, {}", names[moment as usize]);
        assert_eq!(archive.exists(), lived, "{when}");
        dumprestore::recover(&shop.set(), Arc::new(())).await.unwrap();
        assert_eq!(partials(folder.path()), Vec::<String>::new(), "{when}");
        assert_eq!(shop.leftovers(), Vec::<String>::new(), "{when}");
        assert_eq!(shop.state(), before, "{when}");
        let _ = std::fs::remove_file(&archive);
    }
}

async fn dump_watched(shop: &Shop, archive: &Path, faults: &Arc<Faulty>) -> dumprestore::Result<()> {
    let set = shop.set_watched(&[faults], Coherence::default());
    let mut options = DumpOptions::default();
    options.cancel = faults.cancel();
    dumprestore::dump(&set, Destination::new_file(archive), options).await.map(drop)
}

fn partials(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("partial")).collect()
}
