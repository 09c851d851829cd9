//! A run in a process of its own, which a fault kills with `kill -9`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dumprestore_driver::{OldState, OpenContext, Placement, Result, StageContext, Token};
use rustix::fs::FlockOperation;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::world::dump_all;
use crate::{Broken, Dumping, Fault, Faulty, Kit, Restoring, Step, StoredNode, World};

const ORDER: &str = "DUMPRESTORE_TESTKIT_CHILD";

/// What the child is to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    options: Value,
    base: PathBuf,
    journal: PathBuf,
    alive: PathBuf,
    run: String,
    task: Task,
    moment: u64,
    fault: Fault,
}

/// The kind of run that is killed.
#[derive(Serialize, Deserialize)]
pub(crate) enum Task {
    /// A dump into this folder.
    Dump { folder: PathBuf, scratch: PathBuf },
    /// A restore of what is in this folder, which keeps the old state or drops it.
    Restore { archived: PathBuf, keep: bool, placement: Placement },
    /// A restore of what an earlier one kept.
    PutBack { kept: Token },
}

/// What a child leaves behind.
pub(crate) struct Remains {
    /// The last journalled token, and the step that was to come.
    pub(crate) journal: Option<(Step, Token)>,
    /// Whether it lived to the end.
    pub(crate) lived: bool,
}

/// The order, if this process is a child.
pub(crate) fn order() -> Option<Order> {
    let path = std::env::var_os(ORDER)?;
    let text = std::fs::read(path).expect("the order of a child");
    Some(serde_json::from_slice(&text).expect("the order is JSON"))
}

/// Does it, and dies.
pub(crate) fn play(kit: Kit, order: &Order) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    show_life(&order.alive).expect("a lock");
    let faults = Arc::new(Faulty::at(order.moment, order.fault));
    let done = runtime.block_on(async {
        let driver = kit.driver(order.options.clone(), &order.base)?;
        match &order.task {
            Task::Dump { folder, scratch } => {
                let cx = OpenContext::new(&order.run, scratch).with_ours(vec![folder.clone()]);
                let mut dumping = Dumping::open(&*driver, cx, folder.clone(), faults).await?;
                dump_all(&mut dumping).await?;
                dumping.release().await.1
            }
            Task::Restore { archived, keep, placement } => {
                let archived = Arc::new(StoredNode::open(archived).with_chunk(4096));
                let cx = StageContext::new(&order.run).with_placement(*placement);
                let restoring = Restoring::stage(&*driver, archived, cx, faults).await?;
                restore(order, restoring, if *keep { OldState::Keep } else { OldState::Drop }).await
            }
            Task::PutBack { kept } => {
                let staging = driver.stage_previous(kept, StageContext::new(&order.run)).await?;
                let nothing = Arc::new(StoredNode::nothing(&order.base)?);
                restore(order, Restoring::over(staging, nothing, faults), OldState::Drop).await
            }
        }
    });
    if let Err(error) = done {
        eprintln!("the child failed: {error:?}");
        std::process::exit(9);
    }
    std::process::exit(0)
}

/// Locks a file, for as long as this process lives, or any that it has started: they inherit the lock.
fn show_life(path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
    std::mem::forget(file);
    Ok(())
}

/// Waits until what a killed process has started is gone as well: it may still be writing.
fn wait_for_the_last(path: &Path) -> Result<(), Broken> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    let until = Instant::now() + Duration::from_secs(20);
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > until {
            return Err(Broken::new("a run was killed, and what it had started goes on and on"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

async fn restore(order: &Order, mut restoring: Restoring, old: OldState) -> Result<()> {
    let journal = order.journal.clone();
    restoring.set_record(Box::new(move |step, token| write_journal(&journal, step, token)));
    restoring.go(Step::Finish, old).await.map(drop)
}

fn write_journal(path: &Path, step: Step, token: &Token) {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, serde_json::to_vec(&(step, token)).expect("a token is JSON"))
        .expect("a journal");
    std::fs::rename(&partial, path).expect("a journal");
}

impl World {
    /// Restores `archived` in a child process, with a fault at a moment of it.
    pub(crate) async fn restore_in_a_child(
        &self,
        archived: &StoredNode,
        old: OldState,
        moment: u64,
        fault: Fault,
    ) -> Result<Remains, Broken> {
        let (keep, placement) = (old == OldState::Keep, Placement::Beside);
        let task = Task::Restore { archived: archived.save().to_owned(), keep, placement };
        self.in_a_child(task, moment, fault).await
    }

    /// Has a child process do it, with a fault at a moment of it.
    pub(crate) async fn in_a_child(&self, task: Task, moment: u64, fault: Fault) -> Result<Remains, Broken> {
        let (journal, alive) = (self.fresh("journal"), self.fresh("alive"));
        let is_dump = matches!(task, Task::Dump { .. });
        let options = self.fixture.options();
        let order = Order {
            options,
            base: self.base(),
            journal: journal.clone(),
            alive: alive.clone(),
            run: self.run(),
            task,
            moment,
            fault,
        };
        let path = self.fresh("order");
        std::fs::write(&path, serde_json::to_vec(&order).expect("an order is JSON")).expect("an order");
        let mut command = Command::new(std::env::current_exe().expect("the test program"));
        command.args(["--exact", self.test, "--nocapture", "--test-threads=1"]).env(ORDER, &path);
        let output = tokio::task::block_in_place(|| command.output()).expect("the test program starts");
        tokio::task::block_in_place(|| wait_for_the_last(&alive))?;
        let journal =
            std::fs::read(&journal).ok().map(|text| serde_json::from_slice(&text).expect("a journal"));
        let ran = journal.is_some()
            || is_dump && String::from_utf8_lossy(&output.stdout).contains("running 1 test");
        match output.status.code() {
            Some(0) if !ran => Err(Broken::new(format!("no child ran: is `{}` its test?", self.test))),
            Some(0) => Ok(Remains { journal, lived: true }),
            None => Ok(Remains { journal, lived: false }),
            Some(_) => Err(Broken::new(format!(
                "a run in a process of its own failed: {}",
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }
}
