//! The driver: what a `filesystem` node can do.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dumprestore_driver::{
    ArchivedNode, Capabilities, Changes, Driver, DriverConfig, Error, Extras, Formats, Inspection, Lanes,
    Linked, OpenContext, Partial, Result, Source, StageContext, Staging, Token, Undo, View,
};

use crate::changes::Counting;
use crate::config::{FilesystemConfig, Swap};
use crate::container::Place;
use crate::filter::Filter;
use crate::inspect::{Look, across_mounts};
use crate::plan::too_many_extras;
use crate::root::{Root, mounts_below, real_path};
use crate::snapshot::Snapshot;
use crate::staging::{Origin, Restore, discard, place_of_previous};
use crate::tree::Tree;

/// One folder.
#[derive(Debug, Clone)]
pub(crate) struct Filesystem {
    path: PathBuf,
    filter: Filter,
    one_file_system: bool,
    swap: Swap,
}

impl Filesystem {
    pub(crate) fn new(path: PathBuf, filter: Filter, one_file_system: bool, swap: Swap) -> Self {
        Self { path, filter, one_file_system, swap }
    }

    async fn away<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || look(&this)).await;
        done.map_err(|error| Error::defect("looking at the folder broke off").with_source(error))?
    }

    fn place(&self, run: &str) -> Result<Place> {
        Place::choose(real_path(&self.path)?, run, self.swap)
    }

    fn count(&self, archived: &dyn ArchivedNode, cx: &StageContext) -> Result<Changes> {
        let root = Root::open(&self.path)?;
        let place = self.place(&cx.run)?;
        Counting {
            archived,
            root: root.as_ref(),
            staged_at: &place.container,
            filter: &self.filter,
            one_file_system: self.one_file_system,
            extras: cx.extras,
            cancel: &cx.cancel,
        }
        .run()
    }

    fn plan_restore(&self, archived: &dyn ArchivedNode, cx: &StageContext) -> Result<Place> {
        let mut place = self.place(&cx.run)?;
        if place.inside {
            place.new_time = Tree::of(archived)?.next().transpose()?.map(|root| {
                let time = root.meta.mtime;
                (time.seconds, time.nanos)
            });
        }
        if let Some(mount) = mounts_below(&place.root)?.first().filter(|_| !self.one_file_system) {
            let problem = across_mounts(&place.root, mount);
            return Err(Error::environment(problem.message).with_hint(problem.hint.unwrap_or_default()));
        }
        if cx.extras == Extras::Fail {
            let changes = self.count(archived, cx)?;
            if changes.remove > 0 {
                return Err(too_many_extras(changes.remove, &changes.removes));
            }
        }
        Ok(place)
    }
}

#[async_trait]
impl Driver for Filesystem {
    fn kind(&self) -> &'static str {
        FilesystemConfig::KIND
    }

    fn formats(&self) -> Formats {
        Formats::only(1)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
            .with_view(View::Captured)
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::Many)
            // A tree is checked against its list: a part of it is not a restore of it.
            .with_partial(Partial::Whole)
            .with_linked(Linked { referrer: false, referent: true })
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }

    async fn inspect(&self) -> Result<Inspection> {
        self.away(|this| {
            Look {
                path: &this.path,
                filter: &this.filter,
                one_file_system: this.one_file_system,
                swap: this.swap,
            }
            .run()
        })
        .await
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        self.away(move |this| {
            let root = Root::open_existing(&this.path)?;
            let filter = this.filter.clone().without(&root.path, &cx.ours);
            Ok(Box::new(Snapshot::new(root, filter, this.one_file_system, cx)) as Box<dyn Source>)
        })
        .await
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        let cx = cx.clone();
        self.away(move |this| this.count(&*archived, &cx)).await
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        self.away(move |this| {
            let place = this.plan_restore(&*archived, &cx)?;
            Ok(Box::new(Restore::new(place, this.filter.clone(), cx, Origin::Archive(archived)))
                as Box<dyn Staging>)
        })
        .await
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let kept = kept.clone();
        self.away(move |this| {
            let place = place_of_previous(&kept, &cx.run)?;
            Ok(Box::new(Restore::new(place, this.filter.clone(), cx, Origin::Previous)) as Box<dyn Staging>)
        })
        .await
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        let kept = kept.clone();
        self.away(move |_| discard(&kept)).await
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let place = Place::from_token(token)?;
        Ok(Box::new(Restore::new(place, self.filter.clone(), cx, Origin::Crash)))
    }
}
