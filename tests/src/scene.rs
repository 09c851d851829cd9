//! One application, its archive, and what happens to copies of it when a run is disturbed.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dumprestore::{
    BackupSet, Coherence, Destination, DumpOptions, ErrorKind, OpenArchive, RestoreFrom, RestoreOptions,
    RestoreOutcome,
};
use dumprestore_testkit::{Fault, Faulty, spread};
use tempfile::TempDir;

use crate::State;

/// An application that tests dump and restore.
pub trait Application {
    /// Its folder.
    fn folder(&self) -> &Path;
    /// The set that dumps it, with its drivers under the eyes of `faults`.
    fn set_watched(&self, faults: &[&Arc<Faulty>], coherence: Coherence) -> BackupSet;
    /// Everything it remembers.
    fn state(&self) -> State;
    /// What is not its own where it lives: what a run has left behind.
    fn leftovers(&self) -> Vec<String>;
    /// Changes everything: what a bad release does.
    fn spoil(&self);
    /// A copy of it, in that folder.
    fn copy(&self, to: &Path) -> Self;
    /// Removes it.
    fn remove(&self);

    /// The set that dumps it.
    fn set(&self) -> BackupSet {
        self.set_watched(&[], Coherence::default())
    }
}

/// An application, an archive of it, its state then, and its state after a bad release.
pub struct Scene<A> {
    folder: TempDir,
    spoilt: A,
    /// Its state as in the archive.
    pub good: State,
    few: u64,
}

impl<A: Application> Scene<A> {
    /// Makes the application in the folder that `create` is given, dumps it, and spoils it. `few` is how many moments of
    /// a run are tried unless `DUMPRESTORE_FAULTS` says otherwise.
    pub async fn new(few: u64, create: impl FnOnce(&Path) -> A) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spoilt = create(&folder.path().join("origin"));
        let good = spoilt.state();
        let scene = Self { folder, spoilt, good, few };
        dumprestore::dump(
            &scene.spoilt.set(),
            Destination::new_file(scene.archive()),
            DumpOptions::default(),
        )
        .await
        .unwrap();
        scene.spoilt.spoil();
        scene
    }

    /// The archive of its good state.
    pub fn archive(&self) -> PathBuf {
        self.folder.path().join("shop.zip")
    }

    /// The same, to restore from.
    pub fn from(&self) -> RestoreFrom {
        RestoreFrom::Archive(OpenArchive::open(&self.archive()).unwrap())
    }

    /// A copy of the spoilt application to work on.
    pub fn copy(&self, name: &str) -> A {
        self.spoilt.copy(&self.folder.path().join(name))
    }

    /// The moments to try of these.
    pub fn sampled(&self, names: &[&str]) -> Vec<u64> {
        sampled(names, self.few)
    }

    /// After `recover`, all is as before or all is as in the archive, and nothing else is there. True if it is as in the
    /// archive.
    pub async fn settle(&self, app: &A, spoilt: &State, when: &str) -> bool {
        dumprestore::recover(&app.set(), Arc::new(()))
            .await
            .unwrap_or_else(|error| panic!("{when}: {error:?}"));
        let now = app.state();
        assert!(now == *spoilt || now == self.good, "{when}: a mix\n{}", told(&now, spoilt, &self.good));
        assert_eq!(app.leftovers(), Vec::<String>::new(), "{when}");
        app.remove();
        now == self.good
    }

    /// Restores the archive.
    pub async fn restore(&self, app: &A, faults: &Arc<Faulty>) -> dumprestore::Result<RestoreOutcome> {
        let set = app.set_watched(&[faults], Coherence::default());
        let mut options = RestoreOptions::default();
        options.cancel = faults.cancel();
        dumprestore::restore(&set, &self.from(), &options).await.map(|report| report.outcome)
    }

    /// The names of all moments of an undisturbed restore.
    pub async fn moments(&self) -> Vec<&'static str> {
        let app = self.copy("undisturbed");
        let faults = Arc::new(Faulty::never());
        assert_eq!(self.restore(&app, &faults).await.unwrap(), RestoreOutcome::Ok);
        assert_eq!(app.state(), self.good);
        assert_eq!(app.leftovers(), Vec::<String>::new());
        app.remove();
        faults.passed()
    }

    /// A failure, or an interrupt, at one moment of a restore after another.
    pub async fn disturb_restores(&self, fault: Fault) {
        let names = self.moments().await;
        for moment in self.sampled(&names) {
            let app = self.copy(&format!("shop-{moment}"));
            let spoilt = app.state();
            let ended = self.restore(&app, &Arc::new(Faulty::at(moment, fault))).await;
            let when = format!("{fault:?} at {moment}, {}: {ended:?}", names[moment as usize]);
            self.judge(&app, &spoilt, &ended, &when);
            let new = self.settle(&app, &spoilt, &when).await;
            assert_eq!(new, ended.is_ok(), "{when}");
        }
    }

    /// Before anybody recovers: what the run has told is true, unless it told that it is stuck.
    pub fn judge<T: Debug>(&self, app: &A, spoilt: &State, ended: &dumprestore::Result<T>, when: &str) {
        let stuck = matches!(ended, Err(error) if error.kind() == ErrorKind::Stuck);
        if !stuck {
            let now = app.state();
            assert_eq!(now == self.good, ended.is_ok(), "{when}\n{}", told(&now, spoilt, &self.good));
        }
    }

    /// A `kill -9` of a process that restores, so much after one moment after another. What `around` makes of each copy
    /// lives until it was recovered.
    pub async fn kill_restores<G>(
        &self,
        killed_run: &str,
        delay: impl Fn(u64) -> Duration,
        around: impl Fn(&A) -> G,
    ) {
        let names = self.moments().await;
        let (mut old, mut new) = (0, 0);
        for moment in self.sampled(&names) {
            let app = self.copy(&format!("shop-{moment}"));
            let spoilt = app.state();
            let guard = around(&app);
            let kill = Kill { moment, delay: delay(moment) };
            let lived = run_killed(killed_run, app.folder(), &self.archive(), "restore", kill);
            let when = format!("{kill:?}, {}", names[moment as usize]);
            match self.settle(&app, &spoilt, &when).await {
                true => new += 1,
                false if lived => panic!("{when}: the restore worked, and yet nothing changed"),
                false => old += 1,
            }
            drop(guard);
        }
        assert!(old > 0 && new > 0, "{old} times old, {new} times new: the kills missed the restore");
    }
}

/// How the states of an application differ.
fn told(now: &State, old: &State, new: &State) -> String {
    format!("now {now:#?}\nold {old:#?}\nnew {new:#?}")
}

/// The moments to try of these: `few`, unless `DUMPRESTORE_FAULTS` has another number, or `all`. Parts come and go at
/// most of them, so that only every fourth that is tried is one of those.
fn sampled(names: &[&str], few: u64) -> Vec<u64> {
    let most = match std::env::var("DUMPRESTORE_FAULTS").as_deref() {
        Ok("all") => {
            println!("trying all of {} moments", names.len());
            return (0..names.len() as u64).collect();
        }
        Ok(most) => most.parse().unwrap(),
        Err(_) => few,
    };
    let (parts, steps): (Vec<_>, Vec<_>) =
        (0..).zip(names).partition(|(_, name)| name.ends_with("load") || name.ends_with("dump"));
    let of_parts = (most / 4).max(2);
    let picked = |moments: &[(u64, &&str)], most| -> Vec<u64> {
        spread(moments.len() as u64, most).into_iter().map(|at| moments[at as usize].0).collect()
    };
    let mut moments = picked(&parts, of_parts);
    moments.extend(picked(&steps, most.saturating_sub(of_parts).max(2)));
    moments.sort_unstable();
    println!("trying {} of {} moments", moments.len(), names.len());
    moments
}

/// Runs the program `killed-run`, whose temporary files go beside the application. True if it lived to its end.
fn run_killed(killed_run: &str, app: &Path, archive: &Path, command: &str, kill: Kill) -> bool {
    let temporary = app.with_extension("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let numbers = [kill.moment, kill.delay.as_micros() as u64].map(|number| number.to_string());
    let run = Command::new(killed_run)
        .args([app.as_os_str(), archive.as_os_str(), command.as_ref()])
        .args(numbers)
        .env("TMPDIR", &temporary)
        .output()
        .unwrap();
    assert!(run.status.success() || run.status.code().is_none(), "{}", String::from_utf8_lossy(&run.stderr));
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "a {command}, {kill:?}, left temporary files: {left:?}");
    std::fs::remove_dir(&temporary).unwrap();
    run.status.success()
}

/// When a process gets its `kill -9`.
#[derive(Debug, Clone, Copy)]
struct Kill {
    moment: u64,
    delay: Duration,
}

/// No delay: at each moment.
pub fn at_once(_: u64) -> Duration {
    Duration::ZERO
}

/// Delays that have no common beat with what a run does, and end in the middle of it.
pub fn later(moment: u64) -> Duration {
    Duration::from_micros(500 + moment * 7919 % 90_000)
}

/// An application to dump, at rest, with what it remembers.
pub struct Dumps<A> {
    folder: TempDir,
    app: A,
    before: State,
    few: u64,
}

impl<A: Application> Dumps<A> {
    /// Makes the application. `few` as for a [`Scene`].
    pub fn new(few: u64, create: impl FnOnce(&Path) -> A) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = create(&folder.path().join("origin"));
        let before = app.state();
        Self { folder, app, before, few }
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// Where it is dumped to.
    pub fn archive(&self) -> PathBuf {
        self.folder.path().join("shop.zip")
    }

    /// Dumps it.
    pub async fn dump(&self, faults: &Arc<Faulty>) -> dumprestore::Result<()> {
        let set = self.app.set_watched(&[faults], Coherence::default());
        let mut options = DumpOptions::default();
        options.cancel = faults.cancel();
        dumprestore::dump(&set, Destination::new_file(self.archive()), options).await.map(drop)
    }

    /// The names of all moments of an undisturbed dump, whose archive is there afterwards.
    pub async fn moments(&self) -> Vec<&'static str> {
        let faults = Arc::new(Faulty::never());
        self.dump(&faults).await.unwrap();
        faults.passed()
    }

    /// The moments to try of these.
    pub fn sampled(&self, names: &[&str]) -> Vec<u64> {
        sampled(names, self.few)
    }

    /// Nothing is left of a dump but its archive, and the application is as before.
    pub fn settle(&self, when: &str) {
        assert_eq!(partials(self.folder.path()), Vec::<String>::new(), "{when}");
        assert_eq!(self.app.leftovers(), Vec::<String>::new(), "{when}");
        assert_eq!(self.app.state(), self.before, "{when}");
    }

    /// A failure, or an interrupt, at one moment of a dump after another.
    pub async fn disturb(&self, fault: Fault) {
        let names = self.moments().await;
        for moment in self.sampled(&names) {
            std::fs::remove_file(self.archive()).unwrap();
            let ended = self.dump(&Arc::new(Faulty::at(moment, fault))).await;
            let when = format!("{fault:?} at {moment}, {}: {ended:?}", names[moment as usize]);
            assert_eq!(self.archive().exists(), ended.is_ok(), "{when}");
            self.settle(&when);
            if !self.archive().exists() {
                std::fs::write(self.archive(), "").unwrap();
            }
        }
    }

    /// A `kill -9` of a process that dumps, so much after one moment after another.
    pub async fn kill(&self, killed_run: &str, delay: impl Fn(u64) -> Duration) {
        let names = self.moments().await;
        std::fs::remove_file(self.archive()).unwrap();
        for moment in self.sampled(&names) {
            let kill = Kill { moment, delay: delay(moment) };
            let lived = run_killed(killed_run, self.app.folder(), &self.archive(), "dump", kill);
            let when = format!("{kill:?}, {}", names[moment as usize]);
            // A late kill may come between the archive's last step and the end of the process.
            assert!(self.archive().exists() == lived || !kill.delay.is_zero() && !lived, "{when}");
            if self.archive().exists() {
                OpenArchive::open(&self.archive()).unwrap_or_else(|error| panic!("{when}: {error:?}"));
            }
            dumprestore::recover(&self.app.set(), Arc::new(())).await.unwrap();
            self.settle(&when);
            let _ = std::fs::remove_file(self.archive());
        }
    }
}

fn partials(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("partial")).collect()
}
