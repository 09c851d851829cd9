//! A restore in a process of its own, which a fault kills with `kill -9`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dumprestore_driver::{OldState, StageContext, Token};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Broken, Fault, Faulty, Kit, Restoring, Step, StoredNode, World};

const ORDER: &str = "DUMPRESTORE_TESTKIT_CHILD";

/// What the child is to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    options: Value,
    base: PathBuf,
    archived: PathBuf,
    journal: PathBuf,
    run: String,
    keep: bool,
    moment: u64,
    fault: Fault,
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

/// Restores, and dies.
pub(crate) fn play(kit: Kit, order: &Order) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let done = runtime.block_on(async {
        let faults = Arc::new(Faulty::at(order.moment, order.fault));
        let driver = kit.driver(order.options.clone(), &order.base)?;
        let archived = Arc::new(StoredNode::open(&order.archived).with_chunk(4096));
        let cx = StageContext::new(order.run.clone());
        let mut restoring = Restoring::stage(&*driver, archived, cx, faults).await?;
        let journal = order.journal.clone();
        restoring.set_record(Box::new(move |step, token| write_journal(&journal, step, token)));
        let old = if order.keep { OldState::Keep } else { OldState::Drop };
        restoring.go(Step::Finish, old).await.map(drop)
    });
    if let Err(error) = done {
        eprintln!("the child failed: {error:?}");
        std::process::exit(9);
    }
    std::process::exit(0)
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
        let journal = self.fresh("journal");
        let order = Order {
            options: self.fixture.options(),
            base: self.base(),
            archived: archived.save().to_owned(),
            journal: journal.clone(),
            run: self.run(),
            keep: old == OldState::Keep,
            moment,
            fault,
        };
        let path = self.fresh("order");
        std::fs::write(&path, serde_json::to_vec(&order).expect("an order is JSON")).expect("an order");
        let mut command = Command::new(std::env::current_exe().expect("the test program"));
        command.args(["--exact", self.test, "--nocapture", "--test-threads=1"]).env(ORDER, &path);
        let output = tokio::task::block_in_place(|| command.output()).expect("the test program starts");
        let journal =
            std::fs::read(&journal).ok().map(|text| serde_json::from_slice(&text).expect("a journal"));
        match output.status.code() {
            Some(0) if journal.is_none() => {
                Err(Broken::new(format!("no child ran: is `{}` its test?", self.test)))
            }
            Some(0) => Ok(Remains { journal, lived: true }),
            None => Ok(Remains { journal, lived: false }),
            Some(_) => Err(Broken::new(format!(
                "a restore in a process of its own failed: {}",
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }
}
