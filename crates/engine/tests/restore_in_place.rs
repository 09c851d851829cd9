//! Restores in place: their terms, and what a crash leaves.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dumprestore::driver::Content;
use dumprestore::{
    BackupSet, Destination, DumpOptions, ErrorKind, Event, NodeBuilder, OpenArchive, Placement,
    RecoverOutcome, RestoreFrom, RestoreOptions, RestoreOutcome,
};
use vault::{PASSWORD, dump, fill, held, node, set, url};

fn in_place(nodes: &[&str]) -> RestoreOptions {
    let mut options = RestoreOptions::default();
    options.in_place = Some(nodes.iter().map(|node| (*node).to_owned()).collect());
    options
}

fn from(archive: &OpenArchive) -> RestoreFrom {
    RestoreFrom::Archive(archive.clone())
}

#[tokio::test]
async fn a_node_is_restored_in_place_and_the_plan_says_what_that_costs() {
    let folder = tempfile::tempdir().unwrap();
    let set = set(folder.path(), &node("db", "in-place", ""), &[]).unwrap();
    fill("in-place", &[("a", "1"), ("owned", "2")]);
    let archive = dump(&set, folder.path()).await;
    fill("in-place", &[("a", "9"), ("new\u{1b}", "3")]);
    let plan = dumprestore::plan_restore(&set, &from(&archive), &in_place(&[])).await.unwrap();
    let text = plan.to_string();
    assert!(text.contains("in place: no second copy is made, and no old state is kept"), "{text}");
    assert!(text.contains("undo until its commit only: after that, the old data are lost"), "{text}");
    assert!(text.contains("removed: `new\\u{1b}`"), "{text}");
    assert_eq!(plan.steps[0].placement, Placement::InPlace);
    let report = dumprestore::restore(&set, &from(&archive), &in_place(&["db"])).await.unwrap();
    assert_eq!((report.outcome, held("in-place").as_str()), (RestoreOutcome::Ok, "a=1 owned=2"));
    assert_eq!(report.nodes[0].ledger.len(), 1);
}

#[tokio::test]
async fn what_would_be_restored_in_place_is_not_rehearsed() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = node("db", "rehearsed", "") + &node("files", "rehearsed too", "");
    let set = set(folder.path(), &nodes, &[]).unwrap();
    ["rehearsed", "rehearsed too"].iter().for_each(|name| fill(name, &[("a", "1")]));
    let archive = dump(&set, folder.path()).await;
    let mut thing = RestoreOptions::default();
    thing.only = vec!["db:a".to_owned()];
    let mut schema = RestoreOptions::default();
    schema.only = vec!["db".to_owned()];
    schema.content = Content::SchemaOnly;
    for (options, hint) in [
        (in_place(&["db"]), "leave out `--in-place`"),
        (in_place(&[]), "leave out `--in-place`"),
        (thing, "with `--only db`"),
        (schema, "with `--only db`"),
    ] {
        let begun = Arc::new(AtomicBool::new(false));
        let (seen, mut options) = (begun.clone(), options);
        options.observer = Arc::new(move |event: &Event| {
            seen.fetch_or(matches!(event, Event::Phase { .. }), Ordering::Relaxed);
        });
        let error = dumprestore::rehearse(&set, archive.clone(), &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("can't be rehearsed"), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error:?}");
        assert!(!begun.load(Ordering::Relaxed), "something was begun");
    }
    let mut whole = RestoreOptions::default();
    whole.only = vec!["db".to_owned()];
    dumprestore::rehearse(&set, archive, &whole).await.unwrap();
}

#[tokio::test]
async fn what_a_driver_could_not_restore_as_it_was_degrades_the_restore() {
    let folder = tempfile::tempdir().unwrap();
    let set = set(folder.path(), &node("db", "orphans", ""), &[]).unwrap();
    fill("orphans", &[("orphan", "1")]);
    let archive = dump(&set, folder.path()).await;
    let report = dumprestore::restore(&set, &from(&archive), &RestoreOptions::default()).await.unwrap();
    assert_eq!(report.outcome, RestoreOutcome::Degraded);
    assert_eq!(report.nodes[0].ledger[0].what, "orphan");
}

#[tokio::test]
async fn a_node_that_cannot_be_restored_in_place_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = node("db", "can", "") + &node("files", "cannot", ", plain: true");
    let set = set(folder.path(), &nodes, &[]).unwrap();
    fill("can", &[("a", "1")]);
    fill("cannot", &[("a", "1")]);
    let archive = dump(&set, folder.path()).await;
    let error = dumprestore::restore(&set, &from(&archive), &in_place(&[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.node().unwrap().as_str(), "files");
    assert!(error.hint().unwrap().contains("--in-place=NODE"), "{error}");
    dumprestore::restore(&set, &from(&archive), &in_place(&["db"])).await.unwrap();
    let mut keeps = in_place(&["db"]);
    keeps.reversible = true;
    let error = dumprestore::restore(&set, &from(&archive), &keeps).await.unwrap_err();
    assert!(error.to_string().contains("no previous state"), "{error}");
    let mut only = in_place(&["db"]);
    only.only = vec!["files".to_owned()];
    let error = dumprestore::restore(&set, &from(&archive), &only).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

/// Restores until `hangs` is reached, and drops everything there, as a kill does.
async fn killed(set: &BackupSet, archive: &OpenArchive, options: RestoreOptions) {
    let from = from(archive);
    let restore = dumprestore::restore(set, &from, &options);
    let ended = tokio::time::timeout(Duration::from_millis(600), restore).await;
    assert!(ended.is_err(), "it did not hang: {ended:?}");
}

#[tokio::test]
async fn after_a_crash_the_commit_that_cannot_be_undone_decides_for_all_nodes() {
    for (hangs, outcome, now) in [
        ("before commit", RecoverOutcome::RolledBack, "a=9"),
        ("after commit", RecoverOutcome::Finished, "a=1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let names = [format!("first {hangs}"), format!("second {hangs}")];
        let dying = node("db", &names[0], &format!(", hangs: {hangs}")) + &node("files", &names[1], "");
        let set = set(folder.path(), &dying, &[]).unwrap();
        names.iter().for_each(|name| fill(name, &[("a", "1")]));
        let archive = dump(&set, folder.path()).await;
        names.iter().for_each(|name| fill(name, &[("a", "9")]));
        killed(&set, &archive, in_place(&["db"])).await;
        let alive = node("db", &names[0], "") + &node("files", &names[1], "");
        let set = vault::set(folder.path(), &alive, &[]).unwrap();
        let recovered = dumprestore::recover(&set, Arc::new(())).await.unwrap().unwrap();
        assert_eq!(recovered.outcome, outcome, "{hangs}");
        assert_eq!((held(&names[0]).as_str(), held(&names[1]).as_str()), (now, now), "{hangs}");
        assert!(dumprestore::recover(&set, Arc::new(())).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_mapped_url_with_a_password_is_not_journalled_and_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    fill("here", &[("a", "1")]);
    let dying = node("db", "here", ", hangs: after commit");
    let archive = dump(&set(folder.path(), &dying, &[]).unwrap(), folder.path()).await;
    fill("elsewhere", &[("a", "9")]);
    let mapped = [("db", url("elsewhere"))];
    killed(&set(folder.path(), &dying, &mapped).unwrap(), &archive, RestoreOptions::default()).await;
    let state = folder.path().join(".dumprestore");
    for entry in std::fs::read_dir(&state).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(PASSWORD));
    }
    assert_eq!(held("elsewhere"), "a=1");

    let alive = node("db", "here", "");
    let unmapped = set(folder.path(), &alive, &[]).unwrap();
    let error = dumprestore::recover(&unmapped, Arc::new(())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    let told = format!("{error} {error:?} {:?}", error.hint());
    assert!(told.contains("--map db=TARGET") && told.contains("password"), "{told}");
    assert!(told.contains("vault://clerk@host/elsewhere") && !told.contains(PASSWORD), "{told}");
    assert_eq!(held("elsewhere"), "a=1");

    let wrong = [("db", url("elsewhere").replace(PASSWORD, "a-guess-that-is-wrong"))];
    let error = dumprestore::recover(&set(folder.path(), &alive, &wrong).unwrap(), Arc::new(())).await;
    let told = format!("{:?}", error.unwrap_err());
    assert!(!told.contains("a-guess-that-is-wrong"), "{told}");

    let mapped = set(folder.path(), &alive, &mapped).unwrap();
    let recovered = dumprestore::recover(&mapped, Arc::new(())).await.unwrap().unwrap();
    assert_eq!(recovered.outcome, RecoverOutcome::RolledBack);
    assert_eq!((held("elsewhere").as_str(), held("here").as_str()), ("a=9", "a=1"));
}

#[tokio::test]
async fn whether_a_commit_took_effect_is_never_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let dying = node("db", "unsure one", ", hangs: after commit") + &node("files", "unsure two", "");
    let archive = {
        ["unsure one", "unsure two"].iter().for_each(|name| fill(name, &[("a", "1")]));
        dump(&set(folder.path(), &dying, &[]).unwrap(), folder.path()).await
    };
    ["unsure one", "unsure two"].iter().for_each(|name| fill(name, &[("a", "9")]));
    killed(&set(folder.path(), &dying, &[]).unwrap(), &archive, in_place(&["db"])).await;
    // The server does not let anybody look: nothing is rolled back, nothing is finished.
    let locked = dying.replace(PASSWORD, "another").replace(", hangs: after commit", "");
    for _twice in 0..2 {
        let locked = set(folder.path(), &locked, &[]).unwrap();
        let error = dumprestore::recover(&locked, Arc::new(())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stuck);
        assert!(error.hint().unwrap().contains("then run `dumprestore recover`"), "{error}");
        assert_eq!((held("unsure one").as_str(), held("unsure two").as_str()), ("a=1", "a=1"));
    }
    let alive = node("db", "unsure one", "") + &node("files", "unsure two", "");
    let alive = set(folder.path(), &alive, &[]).unwrap();
    let recovered = dumprestore::recover(&alive, Arc::new(())).await.unwrap().unwrap();
    assert_eq!(recovered.outcome, RecoverOutcome::Finished);
}

#[tokio::test]
async fn what_is_finished_when_another_crash_comes_is_known_to_be_committed() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = |first: &str, second: &str| {
        let nodes = node("db", "twice one", first) + &node("files", "twice two", second);
        set(folder.path(), &nodes, &[]).unwrap()
    };
    ["twice one", "twice two"].iter().for_each(|name| fill(name, &[("a", "1")]));
    let archive = dump(&nodes("", ""), folder.path()).await;
    ["twice one", "twice two"].iter().for_each(|name| fill(name, &[("a", "9")]));
    killed(&nodes(", hangs: after commit", ""), &archive, in_place(&["db"])).await;
    let dying = nodes("", ", hangs: after finish");
    let killed = tokio::time::timeout(Duration::from_millis(300), dumprestore::recover(&dying, Arc::new(())));
    assert!(killed.await.is_err());
    // Nothing of it is left by which that could be seen.
    let recovered = dumprestore::recover(&nodes("", ""), Arc::new(())).await.unwrap().unwrap();
    assert_eq!(recovered.outcome, RecoverOutcome::Finished);
    assert_eq!((held("twice one").as_str(), held("twice two").as_str()), ("a=1", "a=1"));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = |loses: &str| node("db", "lost one", loses) + &node("files", "lost two", "");
    let fill_all = |value| ["lost one", "lost two"].iter().for_each(|name| fill(name, &[("a", value)]));
    let held_all = || (held("lost one"), held("lost two"));
    fill_all("1");
    let archive = dump(&set(folder.path(), &nodes(""), &[]).unwrap(), folder.path()).await;
    fill_all("9");
    let answer = set(folder.path(), &nodes(", hangs: answer lost"), &[]).unwrap();
    dumprestore::restore(&answer, &from(&archive), &in_place(&["db"])).await.unwrap();
    assert_eq!(held_all(), ("a=1".to_owned(), "a=1".to_owned()));

    fill_all("9");
    let server = set(folder.path(), &nodes(", hangs: server lost"), &[]).unwrap();
    let error = dumprestore::restore(&server, &from(&archive), &in_place(&["db"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck, "{error}");
    assert!(error.hint().unwrap().contains("then run `dumprestore recover`"), "{error}");
    // Nothing was taken back, for it was committed.
    assert_eq!(held_all(), ("a=1".to_owned(), "a=1".to_owned()));
    let up = set(folder.path(), &nodes(""), &[]).unwrap();
    let recovered = dumprestore::recover(&up, Arc::new(())).await.unwrap().unwrap();
    assert_eq!(recovered.outcome, RecoverOutcome::Finished);
    assert_eq!(held_all(), ("a=1".to_owned(), "a=1".to_owned()));
}

#[tokio::test]
async fn what_is_kept_on_another_server_is_not_dropped_by_way_of_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = set(folder.path(), &node("db", "keeps here", ""), &[]).unwrap();
    let there = set(folder.path(), &node("db", "keeps here", ""), &[("db", url("keeps there"))]).unwrap();
    fill("keeps here", &[("a", "1")]);
    let archive = dump(&here, folder.path()).await;
    fill("keeps there", &[("a", "9")]);
    let mut options = RestoreOptions::default();
    options.reversible = true;
    dumprestore::restore(&there, &from(&archive), &options).await.unwrap();
    let kept = || vault::server().old.keys().any(|key| key.ends_with("/keeps there"));
    let error = dumprestore::discard_previous(&here).await.unwrap_err();
    assert!(error.hint().unwrap().contains("--map db=TARGET"), "{error}");
    assert!(kept());
    assert_eq!(dumprestore::discard_previous(&there).await.unwrap(), 1);
    assert!(!kept());
}

#[tokio::test]
async fn a_stream_that_was_wholly_restored_when_the_crash_came_takes_the_others_along() {
    for (step, outcome, others) in
        [("committed", Some(RecoverOutcome::Finished), "a=1"), ("prepared", None, "a=9")]
    {
        let folder = tempfile::tempdir().unwrap();
        let build = || {
            BackupSet::builder("bank")
                .base(folder.path())
                .node(NodeBuilder::new("box").driver(vault::driver("boxed")))
                .node(NodeBuilder::new("tape").driver(vault::tape("taped")))
                .build()
                .unwrap()
        };
        let fill_both = |value| ["boxed", "taped"].iter().for_each(|name| fill(name, &[("a", value)]));
        fill_both("1");
        let path = folder.path().join("bank.zip");
        dumprestore::dump(&build(), Destination::new_file(&path), DumpOptions::default()).await.unwrap();
        let archive = OpenArchive::open(&path).unwrap();
        fill_both("9");
        let mut options = RestoreOptions::default();
        options.observer = Arc::new(move |event: &Event| {
            if matches!(event, Event::Step { node, step: at } if node.as_str() == "tape" && *at == step) {
                panic!("as if it were killed");
            }
        });
        let set = build();
        let crash = tokio::spawn(async move { dumprestore::restore(&set, &from(&archive), &options).await });
        assert!(crash.await.unwrap_err().is_panic());
        let recovered = dumprestore::recover(&build(), Arc::new(())).await;
        assert_eq!(recovered.as_ref().ok().map(|done| done.as_ref().unwrap().outcome), outcome, "{step}");
        assert_eq!((held("boxed").as_str(), held("taped").as_str()), (others, "a=1"), "{step}");
    }
}
