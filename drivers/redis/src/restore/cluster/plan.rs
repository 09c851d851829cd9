//! What would refuse a restore into a cluster.

use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Result, StageContext};

use super::super::archived::Archived;
use super::super::entry::{Entry, Method};
use super::super::extras::command;
use super::super::line::Line;
use super::super::lines::Lines;
use super::super::mark::{Fields, MARK, Mark};
use super::super::place::{Names, under};
use super::super::plan::{self, Places};
use super::super::rename::EXCHANGE;
use super::super::{Origin, Restore, permitted};
use super::{ONLY, identity};
use crate::config::Setup;
use crate::connect::{Server, Session, tag};

impl Restore {
    /// Plans to restore what is archived into a cluster.
    pub(in super::super) fn plan_cluster(
        setup: &Setup,
        node: Arc<dyn ArchivedNode>,
        cx: StageContext,
    ) -> Result<Self> {
        let archived = Archived::of(&*node)?;
        let mut lines = Lines::of_cluster(&setup.target, &cx.cancel)?;
        check_servers(&lines, &archived, &cx)?;
        let pairs = plan::pairs(setup, &archived, &cx.selection, &Places::of_cluster())?;
        for line in lines.all() {
            permitted::check_largest(line, &archived)?;
        }
        rehearse(&mut lines, &cx.run)?;
        let identity = identity(&mut lines)?;
        let mut entry = Entry::new(&cx.run, &identity, Method::Cluster, pairs, Vec::new());
        entry.extras = cx.extras;
        entry.whole = cx.selection.is_whole();
        Ok(Self { archived: Some(node), ..Self::new(setup, entry, Origin::Planned, cx) })
    }
}

/// Refuses if a primary can't take what is archived.
pub(in super::super) fn check_servers(lines: &Lines, archived: &Archived, cx: &StageContext) -> Result<()> {
    for primary in lines.cluster().map(|cluster| cluster.primaries.as_slice()).unwrap_or_default() {
        let server = Server::of(&mut Session::open_for(&primary.target, &cx.cancel)?)?;
        permitted::check_server(&server, archived)?;
    }
    Ok(())
}

/// What each primary must let a restore do, found out without doing it.
fn rehearse(lines: &mut Lines, run: &str) -> Result<()> {
    let names = Names::of(run);
    for (first, line) in lines.with_slots() {
        let live = format!("{{{}}}a key", tag(first));
        let new = under(&names.new, live.as_bytes(), true);
        rehearse_at(line, &names, live.as_bytes(), &new)?;
    }
    let fields = Fields::of(run, ONLY);
    lines.of(MARK.as_bytes())?.rehearse(&[fields.set(Mark::Loading), fields.remove()])
}

fn rehearse_at(line: &mut Line, names: &Names, live: &[u8], new: &[u8]) -> Result<()> {
    let mut restore = command("RESTORE", new);
    restore.arg(0).arg("a value").arg("ABSTTL");
    let mut rename = command("RENAME", live);
    rename.arg(new);
    let mut set = command("SET", new);
    set.arg("");
    let mut scan = redis::cmd("SCAN");
    scan.arg(0);
    line.rehearse(&[
        restore,
        set,
        scan,
        command("EXISTS", new),
        rename,
        command("UNLINK", new),
        command("PTTL", new),
        command("TYPE", new),
        EXCHANGE.on(names, true, [live].into_iter()),
    ])
}
