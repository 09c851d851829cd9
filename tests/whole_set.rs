//! Whole sets, from outside: what a restore brings back, what it keeps, and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::sync::{Arc, Mutex};

use dumprestore::{
    Destination, DumpOptions, ErrorKind, Event, Extras, OpenArchive, RestoreFrom, RestoreOptions,
};
use dumprestore_tests::{Application, Shop};

struct Scene {
    folder: tempfile::TempDir,
    shop: Shop,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shop = Shop::create(&folder.path().join("shop"), 40);
        Self { folder, shop }
    }

    fn archive(&self) -> std::path::PathBuf {
        self.folder.path().join("shop.zip")
    }

    async fn dump(&self) {
        let to = Destination::new_file(self.archive());
        dumprestore::dump(&self.shop.set(), to, DumpOptions::default()).await.unwrap();
    }

    async fn restore(&self, options: RestoreOptions) -> dumprestore::Result<dumprestore::RestoreReport> {
        let from = RestoreFrom::Archive(OpenArchive::open(&self.archive()).unwrap());
        dumprestore::restore(&self.shop.set(), &from, &options).await
    }
}

fn options(change: impl FnOnce(&mut RestoreOptions)) -> RestoreOptions {
    let mut options = RestoreOptions::default();
    change(&mut options);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_brings_everything_back() {
    let scene = Scene::new();
    let good = scene.shop.state();
    scene.dump().await;
    scene.shop.spoil();
    scene.restore(RestoreOptions::default()).await.unwrap();
    assert_eq!(scene.shop.state(), good);
    assert!(scene.shop.leftovers().is_empty(), "{:?}", scene.shop.leftovers());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_nothing_makes_everything() {
    let scene = Scene::new();
    let good = scene.shop.state();
    scene.dump().await;
    std::fs::remove_dir_all(scene.shop.folder()).unwrap();
    std::fs::create_dir(scene.shop.folder()).unwrap();
    scene.restore(RestoreOptions::default()).await.unwrap();
    assert_eq!(scene.shop.state(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversible_restore_can_be_taken_back_and_forth() {
    let scene = Scene::new();
    let good = scene.shop.state();
    scene.dump().await;
    scene.shop.spoil();
    let spoilt = scene.shop.state();
    let report = scene.restore(options(|options| options.reversible = true)).await.unwrap();
    assert!(report.kept_previous);
    assert_eq!(scene.shop.state(), good);
    for expected in [&spoilt, &good, &spoilt] {
        let set = scene.shop.set();
        dumprestore::restore(&set, &RestoreFrom::Previous, &RestoreOptions::default()).await.unwrap();
        assert_eq!(scene.shop.state(), *expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_changes_nothing_and_leaves_nothing() {
    let scene = Scene::new();
    scene.dump().await;
    scene.shop.spoil();
    let spoilt = scene.shop.state();
    let archive = OpenArchive::open(&scene.archive()).unwrap();
    let report = dumprestore::rehearse(&scene.shop.set(), archive, &RestoreOptions::default()).await.unwrap();
    assert_eq!(report.nodes.len(), 4);
    assert_eq!(scene.shop.state(), spoilt);
    assert!(scene.shop.leftovers().is_empty(), "{:?}", scene.shop.leftovers());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safety_dump_holds_the_state_before_the_restore() {
    let scene = Scene::new();
    scene.dump().await;
    scene.shop.spoil();
    // A spoilt shop has dangling references: its dump is the safety net all the same.
    let spoilt = scene.shop.state();
    let safety = scene.folder.path().join("safety.zip");
    scene.restore(options(|options| options.safety_dump = Some(safety.clone()))).await.unwrap();
    let from = RestoreFrom::Archive(OpenArchive::open(&safety).unwrap());
    dumprestore::restore(&scene.shop.set(), &from, &RestoreOptions::default()).await.unwrap();
    assert_eq!(scene.shop.state(), spoilt);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chosen_node_is_restored_and_broken_references_are_told() {
    let scene = Scene::new();
    scene.dump().await;
    scene.shop.spoil();
    let uploads = scene.shop.folder().join("uploads/01");
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    let report = scene
        .restore(options(|options| {
            options.only = vec!["uploads".to_owned()];
            options.observer = Arc::new(move |event: &Event| {
                if let Event::Notice { message, .. } = event {
                    listener.lock().unwrap().push(message.clone());
                }
            });
        }))
        .await
        .unwrap();
    assert_eq!(report.nodes.len(), 1);
    assert!(uploads.exists());
    assert!(
        scene.shop.crm().prepare("SELECT * FROM account").is_err(),
        "the other database was restored as well"
    );
    let told = told.lock().unwrap();
    assert!(told.iter().any(|message| message.contains("`db` refers to `uploads`")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_selector_is_refused_and_changes_nothing() {
    let scene = Scene::new();
    scene.dump().await;
    scene.shop.spoil();
    let spoilt = scene.shop.state();
    let error = scene.restore(options(|options| options.only = vec!["upload".to_owned()])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(scene.shop.state(), spoilt);
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_are_kept_removed_or_refused_as_asked() {
    let scene = Scene::new();
    scene.dump().await;
    let extra = scene.shop.folder().join("exports/extra.csv");
    std::fs::write(&extra, "mine").unwrap();
    let with = |extras| options(|options| options.extras = Some(extras));
    let error = scene.restore(with(Extras::Fail)).await.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("--extras")), "{error:?}");
    scene.restore(with(Extras::Keep)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&extra).unwrap(), "mine");
    scene.restore(with(Extras::Remove)).await.unwrap();
    assert!(!extra.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_set_exclude_each_other() {
    let scene = Scene::new();
    let set = scene.shop.set();
    let inner = Mutex::new(None);
    let second = (scene.shop.set(), scene.folder.path().join("second.zip"));
    let runtime = tokio::runtime::Handle::current();
    let mut options = DumpOptions::default();
    let outcome = Arc::new(Mutex::new(None));
    let seen = outcome.clone();
    *inner.lock().unwrap() = Some(second);
    options.observer = Arc::new(move |event: &Event| {
        if let Event::Phase { phase: "seal" } = event
            && let Some((set, path)) = inner.lock().unwrap().take()
        {
            let (seen, runtime) = (seen.clone(), runtime.clone());
            let other = std::thread::spawn(move || {
                let ended = runtime.block_on(dumprestore::dump(
                    &set,
                    Destination::new_file(path),
                    DumpOptions::default(),
                ));
                *seen.lock().unwrap() = Some(ended.map(drop));
            });
            other.join().unwrap();
        }
    });
    dumprestore::dump(&set, Destination::new_file(scene.archive()), options).await.unwrap();
    let error = outcome.lock().unwrap().take().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_own_dangling_links_are_listed_and_do_not_stop_the_dump() {
    let scene = Scene::new();
    scene.shop.db().execute("INSERT INTO product VALUES (1000, 'gone.jpg', NULL)", []).unwrap();
    let to = Destination::new_file(scene.archive());
    let report = dumprestore::dump(&scene.shop.set(), to, DumpOptions::default()).await.unwrap();
    assert_eq!(report.outcome, dumprestore::DumpOutcome::Dangling);
    assert!(
        (2..=4).contains(&report.cuts),
        "one cut to see it, others to see that it stays: {}",
        report.cuts
    );
    let edge = report.edges.iter().find(|edge| edge.to == "uploads").unwrap();
    assert_eq!((edge.certified, edge.dangling.total), (false, 1));
    assert!(edge.dangling.keys[0].contains("gone.jpg"), "{edge:?}");
    let restored = scene.restore(RestoreOptions::default()).await.unwrap();
    assert_eq!(restored.outcome, dumprestore::RestoreOutcome::Dangling);
}
