//! A server that is killed at one moment after another, of restores and of dumps.

use std::path::Path;
use std::sync::Arc;

use dumprestore::{Error, ErrorKind, OpenArchive, RestoreFrom, RestoreOptions};

use crate::{Application, Blackout, Dumps, Mortal, Outage, Scene};

/// Has the server go at one moment after another of a restore: afterwards all is old or all is new.
///
/// # Panics
/// If not, or if an error does not say what to do.
pub async fn black_out_restores<A: Application, S: Mortal>(
    scene: &Scene<A>,
    server: &Arc<S>,
    outage: impl Fn(u64) -> Outage,
) {
    let names = scene.moments().await;
    let (mut old, mut new, mut stuck) = (0, 0, 0);
    for moment in scene.sampled(&names) {
        let app = scene.copy(&format!("shop-{moment}"));
        let spoilt = app.state();
        let outage = outage(moment);
        let (blackout, faults) = Blackout::at(server, moment, outage);
        let ended = scene.restore(&app, &Arc::new(faults)).await;
        let when = format!("{outage:?} at {moment}, {}: {ended:?}", names[moment as usize]);
        assert!(blackout.end(), "{when}: it never came to that");
        scene.judge(&app, &spoilt, &ended, &when);
        if let Err(error) = &ended {
            assert_clear(error, &when);
            stuck += u32::from(error.kind() == ErrorKind::Stuck);
        }
        let is_new = scene.settle(&app, &spoilt, &when).await;
        assert_eq!(is_new, ended.is_ok(), "{when}");
        match is_new {
            true => new += 1,
            false => old += 1,
        }
    }
    println!("{old} times old, {new} times new, {stuck} times stuck until `recover`");
    assert!(old > 0 && new > 0, "{old} times old, {new} times new: the kills missed the restore");
}

/// Has the server go at one moment after another of a dump: there is no archive then, or a whole one. `nothing` gives an
/// application that is to be restored into a folder. Tells how often there was no archive.
///
/// # Panics
/// If not, or if an error does not say what to do.
pub async fn black_out_dumps<A: Application, S: Mortal>(
    dumps: &Dumps<A>,
    server: &Arc<S>,
    outage: impl Fn(u64) -> Outage,
    nothing: impl Fn(&Path) -> A,
) -> u32 {
    let names = dumps.moments().await;
    let whole = dumps.app().state();
    std::fs::remove_file(dumps.archive()).unwrap();
    let (mut failed, mut dumped) = (0, 0);
    for moment in dumps.sampled(&names) {
        let outage = outage(moment);
        let (blackout, faults) = Blackout::at(server, moment, outage);
        let ended = dumps.dump(&Arc::new(faults)).await;
        let when = format!("{outage:?} at {moment}, {}: {ended:?}", names[moment as usize]);
        assert!(blackout.end(), "{when}: it never came to that");
        assert_eq!(dumps.archive().exists(), ended.is_ok(), "{when}");
        dumps.settle(&when);
        match &ended {
            Ok(()) => dumped += 1,
            Err(error) => {
                assert_clear(error, &when);
                failed += 1;
            }
        }
        if ended.is_ok() {
            let copy = nothing(&dumps.archive().with_file_name(format!("copy-{moment}")));
            let from = RestoreFrom::Archive(OpenArchive::open(&dumps.archive()).unwrap());
            dumprestore::restore(&copy.set(), &from, &RestoreOptions::default()).await.unwrap();
            assert_eq!(copy.state(), whole, "{when}");
            copy.remove();
            std::fs::remove_file(dumps.archive()).unwrap();
        }
    }
    println!("{failed} times no archive, {dumped} times a whole one");
    failed
}

/// It says what to do, and which exit code it leads to: nothing changed, or stuck until `recover`.
fn assert_clear(error: &Error, when: &str) {
    match error.kind() {
        ErrorKind::Environment => assert!(error.hint().is_some(), "{when}"),
        ErrorKind::Stuck => {
            assert!(error.hint().is_some_and(|hint| hint.contains("dumprestore recover")), "{when}");
        }
        kind => panic!("{kind:?}: {when}"),
    }
}
