//! A server in memory, with boxes of named things at addresses such as `vault://user:password@host/box`, and its
//! driver: one that restores beside and in place, whole and in part, and keeps its password to itself.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "a fixture that fails ends the test")]

mod staging;
mod tape;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use dumprestore::driver::{
    ArchivedNode, BuildContext, Capabilities, Changes, Content, CutContext, Driver, DriverConfig, Dumped,
    Error, Formats, InPlace, Inspection, Lanes, Links, OldState, OpenContext, Part, PartName, PartStream,
    PartWriter, Partial, Placement, Result, Secret, Selection, Source, StageContext, Staging, Token, Undo,
    View, async_trait, part_stream,
};
use dumprestore::{BackupSet, ConfigOrigin, Destination, DumpOptions, OpenArchive, Overrides, Registry};
use schemars::JsonSchema;
use serde::Deserialize;

use staging::VaultStaging;
pub use tape::{Running, tape, tapes};

/// The password of every box.
pub const PASSWORD: &str = "correct-horse-battery-staple";

pub type Things = BTreeMap<String, String>;

/// What the server holds.
#[derive(Default)]
pub struct Server {
    pub boxes: BTreeMap<String, Things>,
    /// What restores have made beside, by run.
    pub staged: BTreeMap<String, Things>,
    /// What was there before a swap, by run.
    pub old: BTreeMap<String, Things>,
    /// The runs whose transaction was committed.
    pub committed: BTreeSet<String>,
    /// The boxes whose commit waits.
    pub waiting: BTreeSet<String>,
}

pub fn server() -> MutexGuard<'static, Server> {
    static SERVER: LazyLock<Mutex<Server>> = LazyLock::new(Mutex::default);
    SERVER.lock().unwrap()
}

pub fn fill(name: &str, things: &[(&str, &str)]) {
    let things = things.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    server().boxes.insert(name.to_owned(), things);
}

pub fn held(name: &str) -> String {
    let server = server();
    let things = server.boxes.get(name).cloned().unwrap_or_default();
    things.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

pub fn url(name: &str) -> String {
    format!("vault://clerk:{PASSWORD}@host/{name}")
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// Where the box is.
    url: Secret,
    /// The moment at which the process hangs, as if it were killed: `before commit`, `after commit`, `after finish`. Or what is lost
    /// once a commit took effect: its `answer lost`, the `server lost`. Or its commit `waits` until it is stopped.
    #[serde(default)]
    hangs: Option<String>,
    /// Whether it can do no more than to restore the whole box beside.
    #[serde(default)]
    plain: bool,
}

impl DriverConfig for VaultConfig {
    const KIND: &'static str = "vault";
    const ABOUT: &'static str = "a box in a vault";
    const TARGET: Option<&'static str> = Some("url");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        let url = self.url.reveal(cx)?;
        let bad = || Error::config("`url` must be `vault://USER:PASSWORD@HOST/BOX`");
        let (login, place) =
            url.expose().strip_prefix("vault://").and_then(|rest| rest.split_once('@')).ok_or_else(bad)?;
        let (user, password) = login.split_once(':').ok_or_else(bad)?;
        let (host, name) = place.split_once('/').ok_or_else(bad)?;
        Ok(Arc::new(Vault {
            target: format!("vault://{user}@{host}/{name}"),
            password: password.to_owned(),
            name: name.to_owned(),
            hangs: self.hangs.unwrap_or_default(),
            plain: self.plain,
        }))
    }

    fn export_sql(
        archived: &dyn ArchivedNode,
        selection: &Selection,
        out: &mut (dyn std::io::Write + Send),
    ) -> Result<()> {
        check(selection, archived)?;
        for part in archived.parts().filter(|part| selected(selection, part.name.as_str())) {
            let mut value = String::new();
            let mut from = archived.read(&part.name)?;
            from.read_to_string(&mut value).map_err(|error| Error::io("can't read a thing", error))?;
            writeln!(out, "INSERT INTO box VALUES ('{}', '{value}');", part.name)
                .map_err(|error| Error::io("can't write the script", error))?;
        }
        Ok(())
    }
}

#[derive(Clone)]
pub struct Vault {
    target: String,
    password: String,
    name: String,
    hangs: String,
    plain: bool,
}

impl Vault {
    fn log_in(&self) -> Result<()> {
        if self.password == PASSWORD {
            return Ok(());
        }
        Err(Error::environment("the vault does not know this password").with_context("target", &self.target))
    }
}

/// Whether a selection means the thing of that name.
fn selected(selection: &Selection, name: &str) -> bool {
    selection.things.is_empty() || selection.things.iter().any(|thing| thing == name)
}

fn check(selection: &Selection, archived: &dyn ArchivedNode) -> Result<()> {
    let has = |thing: &str| archived.parts().any(|part| part.name.as_str() == thing);
    match selection.things.iter().find(|thing| !has(thing)) {
        Some(thing) => Err(Error::config(format!("the archive has no thing `{thing}`"))),
        None => Ok(()),
    }
}

#[async_trait]
impl Driver for Vault {
    fn kind(&self) -> &'static str {
        VaultConfig::KIND
    }

    fn formats(&self) -> Formats {
        Formats::only(1)
    }

    fn capabilities(&self) -> Capabilities {
        let plain = Capabilities::streamed()
            .with_view(View::Pinned)
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::Many);
        if self.plain {
            return plain;
        }
        plain
            .with_partial(Partial::SchemaOrData(Placement::InPlace))
            .with_in_place(InPlace::Yes { undo: Undo::BeforeCommit, lanes: Lanes::One })
    }

    fn target(&self) -> String {
        self.target.clone()
    }

    async fn inspect(&self) -> Result<Inspection> {
        self.log_in().map(|()| Inspection::default())
    }

    async fn open(&self, _cx: OpenContext) -> Result<Box<dyn Source>> {
        self.log_in()?;
        Ok(Box::new(Pinned { vault: self.clone(), things: Things::new() }))
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        check(&cx.selection, &*archived)?;
        let mut changes = Changes::of("things");
        let live = server().boxes.get(&self.name).cloned().unwrap_or_default();
        for name in live.keys().filter(|name| selected(&cx.selection, name)) {
            match archived.parts().any(|part| part.name.as_str() == name) {
                true => changes.replace += 1,
                false => changes.count_removed(|| name.clone()),
            }
        }
        Ok(changes)
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        check(&cx.selection, &*archived)?;
        Ok(Box::new(VaultStaging::new(self.clone(), cx)))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        self.log_in()?;
        VaultStaging::resumed(self.clone(), kept)?.finish(OldState::Drop).await.map(drop)
    }

    async fn resume(&self, token: &Token, _cx: StageContext) -> Result<Box<dyn Staging>> {
        self.log_in()?;
        Ok(Box::new(VaultStaging::resumed(self.clone(), token)?))
    }
}

struct Pinned {
    vault: Vault,
    things: Things,
}

impl Links for Pinned {}

#[async_trait]
impl Source for Pinned {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        self.things = server().boxes.get(&self.vault.name).cloned().unwrap_or_default();
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let names: Result<Vec<_>> =
            self.things.keys().map(|name| Ok(Part::new(PartName::new(name)?))).collect();
        Ok(part_stream(names?))
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        use std::io::Write;
        let value = self.things.get(part.name.as_str()).map_or("", String::as_str);
        out.write_all(value.as_bytes()).map_err(|error| Error::io("can't dump a thing", error))?;
        Ok(Dumped::Whole { rows: None })
    }

    async fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

pub fn registry() -> Registry {
    Registry::new().with::<VaultConfig>()
}

/// A set from YAML, below `set:`, with the targets of some nodes replaced.
pub fn set(folder: &Path, nodes: &str, map: &[(&str, String)]) -> Result<BackupSet> {
    let text = format!("version: 1\nname: bank\nset:\n{nodes}");
    let origin = ConfigOrigin::new("bank.yaml", folder);
    let map = map.iter().map(|(node, target)| (dumprestore::NodePath::new(*node).unwrap(), target.clone()));
    let overrides = Overrides::targets(map.collect(), folder);
    BackupSet::from_yaml(text.as_bytes(), &origin, &registry(), &BTreeMap::new(), &overrides)
}

/// A node for [`set`].
pub fn node(name: &str, held_in: &str, more: &str) -> String {
    format!("  - {{ name: {name}, driver: vault, url: \"{}\"{more} }}\n", url(held_in))
}

pub async fn dump(set: &BackupSet, folder: &Path) -> OpenArchive {
    let path = folder.join("bank.zip");
    dumprestore::dump(set, Destination::new_file(&path), DumpOptions::default()).await.unwrap();
    OpenArchive::open(&path).unwrap()
}

/// Whether everything of a thing is restored, or its definition or its data alone.
fn restored(content: Content, live: Option<&String>, archived: String) -> Option<String> {
    match content {
        Content::All => Some(archived),
        Content::SchemaOnly => Some(String::new()),
        Content::DataOnly => live.map(|_| archived),
    }
}

/// A driver without a configuration, which can do no more than to restore the whole box beside.
pub fn driver(name: &str) -> Arc<dyn Driver> {
    Arc::new(Vault { plain: true, ..vault(name) })
}

/// The same, whose commit waits until it is stopped.
pub fn waiting_driver(name: &str) -> Arc<dyn Driver> {
    Arc::new(Vault { plain: true, hangs: "waits".to_owned(), ..vault(name) })
}

/// A driver without a configuration, which can restore in place, with what happens at its commit.
pub fn in_place_driver(name: &str, hangs: &str) -> Arc<dyn Driver> {
    Arc::new(Vault { hangs: hangs.to_owned(), ..vault(name) })
}

fn vault(name: &str) -> Vault {
    let target = format!("vault://clerk@host/{name}");
    let (password, name) = (PASSWORD.to_owned(), name.to_owned());
    Vault { target, password, name, hangs: String::new(), plain: false }
}
