//! One dump: a pinned view of the database, and what is read from it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{
    CutContext, CutMode, Dumped, Edge, Error, Facts, KeySink, LedgerEntry, Links, OpenContext, Part,
    PartStream, PartWriter, Reference, Result, Source, Unresolved, async_trait, part_stream,
};

use crate::checks::{self, Damage};
use crate::driver::Setup;
use crate::fault::blocking;
use crate::image::{self, View};
use crate::lookup::Column;
use crate::open::Patience;
use crate::pin::{Lock, Pinned};
use crate::{keys, part_name, reduction};

/// A SQLite database that is being dumped.
pub(crate) struct Snapshot {
    inner: Arc<Inner>,
}

struct Inner {
    setup: Setup,
    patience: Patience,
    scratch: PathBuf,
    held: Mutex<Held>,
    /// Apart from what is held, which is busy for as long as a part is dumped.
    told: Mutex<Told>,
}

#[derive(Default)]
struct Held {
    pinned: Option<Pinned>,
    lock: Option<Lock>,
}

#[derive(Default)]
struct Told {
    facts: Facts,
    ledger: Vec<LedgerEntry>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Held {
    fn pinned(&mut self) -> Result<&mut Pinned> {
        self.pinned.as_mut().ok_or_else(|| Error::defect("a `sqlite` source is read without being pinned"))
    }
}

impl Snapshot {
    pub(crate) fn new(setup: Setup, cx: OpenContext) -> Self {
        let patience = Patience::new(setup.busy_timeout, cx.cancel);
        let inner =
            Inner { setup, patience, scratch: cx.scratch, held: Mutex::default(), told: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }
}

impl Inner {
    fn pin(&self, mode: CutMode) -> Result<()> {
        let mut held = locked(&self.held);
        held.lock = match mode {
            CutMode::Open => None,
            CutMode::Locked => Some(Lock::take(&self.setup.path, &self.patience)?),
        };
        let (pinned, facts) = Pinned::take(&self.setup, &self.patience, &self.scratch)?;
        held.pinned = Some(pinned);
        *locked(&self.told) = Told { facts, ledger: Vec::new() };
        Ok(())
    }

    fn unlock(&self) -> Result<()> {
        let Some(lock) = locked(&self.held).lock.take() else { return Ok(()) };
        let waited = lock.release()?;
        let mut told = locked(&self.told);
        let before = told.facts.get("writers_waited_ms").and_then(|text| text.parse().ok()).unwrap_or(0);
        told.facts.insert("writers_waited_ms".to_owned(), waited.as_millis().max(before).to_string());
        Ok(())
    }

    fn unpin(&self) -> Result<()> {
        let unlocked = self.unlock();
        let pinned = locked(&self.held).pinned.take();
        pinned.map_or(Ok(()), Pinned::release).and(unlocked)
    }

    fn part(&self) -> Result<Part> {
        let mut held = locked(&self.held);
        let pinned = held.pinned()?;
        let damage = Damage::find(&pinned.conn, &pinned.path)?;
        let mut told = locked(&self.told);
        damage.record(&mut told.facts);
        if !damage.is_none() {
            let why = format!("it is damaged, and dumped as it is: {}", damage.text());
            told.ledger.push(LedgerEntry::degrading("the database", why));
        } else if pinned.excluded.is_empty()
            && let Some(violations) =
                checks::quick_foreign_key_count(&mut pinned.conn, &self.patience.cancel)?
        {
            told.facts.insert("foreign_key_violations".to_owned(), violations.to_string());
        }
        Ok(Part::new(part_name()?).with_size(pinned.profile.size()))
    }

    fn dump(&self, out: &mut PartWriter<'_>) -> Result<()> {
        let mut held = locked(&self.held);
        let pinned = held.pinned()?;
        if pinned.excluded.is_empty() {
            pinned.view(&self.patience.cancel).stream(&self.scratch, out)?;
        } else {
            self.dump_reduced(pinned, out)?;
        }
        pinned.check_still()
    }

    fn dump_reduced(&self, pinned: &Pinned, out: &mut PartWriter<'_>) -> Result<()> {
        let whole = image::scratch_file(&self.scratch)?;
        let rest = image::scratch_file(&self.scratch)?;
        pinned.view(&self.patience.cancel).save(&whole)?;
        let ledger = reduction::reduce(&whole, &rest, &pinned.excluded, &self.patience)?;
        drop(whole);
        copy_out(&rest, out, &self.patience)?;
        locked(&self.told).ledger.extend(ledger);
        Ok(())
    }
}

fn copy_out(from: &Path, out: &mut PartWriter<'_>, patience: &Patience) -> Result<()> {
    let mut file =
        std::fs::File::open(from).map_err(|error| Error::io("can't read a scratch file", error))?;
    image::copy(&mut file, out, &patience.cancel).map(drop)
}

impl Pinned {
    fn view<'a>(&'a self, cancel: &'a dumprestore_driver::Cancel) -> View<'a> {
        View { conn: &self.conn, path: &self.path, route: self.route, cancel }
    }
}

#[async_trait]
impl Links for Snapshot {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        let query = keys::query_of(&edge.keys)?;
        let mut held = locked(&self.inner.held);
        let pinned = held.pinned()?;
        keys::read(&mut pinned.conn, &pinned.path, query, &pinned.excluded, keys)
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let mut held = locked(&self.inner.held);
        let pinned = held.pinned()?;
        let column = Column::find(&pinned.conn, &pinned.path, within, &pinned.excluded)?;
        column.unresolved(&pinned.conn, &pinned.path, references)
    }
}

#[async_trait]
impl Source for Snapshot {
    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        let mode = cut.mode;
        let pinned = self.on_a_thread(move |inner| inner.pin(mode)).await;
        if pinned.is_err() {
            // A lock that was taken first must not outlive a pin that failed.
            self.on_a_thread(Inner::unpin).await?;
        }
        pinned
    }

    async fn unlock(&mut self) -> Result<()> {
        self.on_a_thread(Inner::unlock).await
    }

    async fn unpin(&mut self) -> Result<()> {
        self.on_a_thread(Inner::unpin).await
    }

    fn facts(&self) -> Facts {
        locked(&self.inner.told).facts.clone()
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let part = self.on_a_thread(Inner::part).await?;
        Ok(part_stream([part]))
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        if part.name != part_name()? {
            return Err(Error::defect(format!("a `sqlite` source has no part {:?}", part.name)));
        }
        self.inner.dump(out)?;
        Ok(Dumped::Whole { rows: None })
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        locked(&self.inner.told).ledger.clone()
    }

    async fn release(&mut self) -> Result<()> {
        self.on_a_thread(Inner::unpin).await
    }
}
