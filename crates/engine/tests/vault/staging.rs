//! Restores into a vault.

use std::io::Read;
use std::sync::Mutex;

use dumprestore::driver::{
    ArchivedPart, Cancel, Content, Error, LedgerEntry, Links, OldState, PartReader, Placement, Result,
    Selection, StageContext, Staging, Token, async_trait,
};
use serde_json::json;

use super::{Things, Vault, restored, selected, server};

pub(super) struct VaultStaging {
    vault: Vault,
    /// Names what this restore makes.
    key: String,
    placement: Placement,
    selection: Selection,
    cancel: Cancel,
    committed: bool,
    /// What is loaded: in place, it is in no other hands, and gone after a crash.
    loaded: Mutex<Things>,
}

impl VaultStaging {
    pub(super) fn new(vault: Vault, cx: StageContext) -> Self {
        let key = format!("{}/{}", cx.run, vault.name);
        Self {
            vault,
            key,
            placement: cx.placement,
            selection: cx.selection,
            cancel: cx.cancel,
            committed: false,
            loaded: Mutex::default(),
        }
    }

    pub(super) fn resumed(vault: Vault, token: &Token) -> Result<Self> {
        let foreign = |error| Error::defect("the token is not a vault's").with_source(error);
        let (key, placement, committed) = serde_json::from_value(token.clone()).map_err(foreign)?;
        let (selection, cancel) = (Selection::default(), Cancel::default());
        Ok(Self { vault, key, placement, selection, cancel, committed, loaded: Mutex::default() })
    }

    fn in_place(&self) -> bool {
        self.placement == Placement::InPlace
    }

    /// As if the process were killed here.
    async fn hang(&self, moment: &str) {
        if self.vault.hangs == moment {
            std::future::pending::<()>().await;
        }
    }

    fn commit_in_place(&self) {
        let mut server = server();
        if !server.committed.insert(self.key.clone()) {
            return;
        }
        let live = server.boxes.entry(self.vault.name.clone()).or_default();
        let before = live.clone();
        if self.selection.content != Content::DataOnly {
            live.retain(|name, _| !selected(&self.selection, name));
        }
        for (name, value) in self.loaded.lock().unwrap().clone() {
            let value = restored(self.selection.content, before.get(&name), value);
            live.extend(value.map(|value| (name, value)));
        }
    }

    fn swap(&self) -> Result<()> {
        let mut server = server();
        let Some(new) = server.staged.remove(&self.key) else {
            return match self.committed || server.old.contains_key(&self.key) {
                true => Ok(()),
                false => Err(Error::stuck("it is neither staged nor swapped")),
            };
        };
        let old = server.boxes.insert(self.vault.name.clone(), new).unwrap_or_default();
        server.old.insert(self.key.clone(), old);
        Ok(())
    }
}

impl Links for VaultStaging {}

#[async_trait]
impl Staging for VaultStaging {
    fn journal(&self) -> Token {
        json!([self.key, self.placement, self.committed])
    }

    async fn begin(&mut self) -> Result<()> {
        if !self.in_place() {
            server().staged.insert(self.key.clone(), Things::new());
        }
        Ok(())
    }

    fn wants(&self, part: &ArchivedPart) -> bool {
        selected(&self.selection, part.name.as_str())
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let mut value = String::new();
        from.read_to_string(&mut value).map_err(|error| Error::io("can't read a thing", error))?;
        self.loaded.lock().unwrap().insert(part.name.to_string(), value);
        Ok(())
    }

    async fn prepare(&mut self) -> Result<()> {
        if !self.in_place() {
            server().staged.insert(self.key.clone(), self.loaded.lock().unwrap().clone());
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.hang("before commit").await;
        if self.vault.hangs == "waits" {
            server().waiting.insert(self.vault.name.clone());
            self.cancel.cancelled().await;
            return Err(Error::cancelled());
        }
        if self.in_place() {
            self.commit_in_place()
        } else {
            self.swap()?;
        }
        self.committed = true;
        self.hang("after commit").await;
        match self.vault.hangs.as_str() {
            "answer lost" | "server lost" | "forgotten" => Err(Error::environment("the connection was lost")),
            _ => Ok(()),
        }
    }

    async fn took_effect(&mut self) -> Result<Option<bool>> {
        if self.vault.hangs == "server lost" {
            return Err(Error::environment("the server is down"));
        }
        // The server is there, and no longer knows.
        if self.vault.hangs == "forgotten" {
            return Ok(None);
        }
        Ok(Some(server().committed.contains(&self.key)))
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        let loaded = self.loaded.lock().unwrap();
        let owned = loaded.keys().filter(|name| name.starts_with("owned"));
        let orphaned = loaded.keys().filter(|name| name.starts_with("orphan"));
        let notes = owned.map(|name| LedgerEntry::note(name, "belongs to you now"));
        notes.chain(orphaned.map(|name| LedgerEntry::degrading(name, "has no owner here"))).collect()
    }

    async fn rollback(&mut self) -> Result<()> {
        let mut server = server();
        if server.committed.contains(&self.key) || self.vault.hangs == "forgotten" {
            return Err(Error::stuck("what was restored in place stays").with_hint("restore it again"));
        }
        if let Some(old) = server.old.remove(&self.key) {
            server.boxes.insert(self.vault.name.clone(), old);
        }
        server.staged.remove(&self.key);
        Ok(())
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        if old == OldState::Keep {
            return Ok(Some(self.journal()));
        }
        server().old.remove(&self.key);
        self.hang("after finish").await;
        Ok(None)
    }
}
