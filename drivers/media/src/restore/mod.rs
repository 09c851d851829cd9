//! One restore into a bucket: new objects are staged beside the live ones, checked, and copied over them by the store.
//!
//! `docs/decisions/media-restore.md` tells what lies where, in which order, and what each crash leaves.
//!
//! - [`Restore`] (here, `staging.rs`): the steps, as the engine calls them. `entry.rs` is what the journal has of it, `state.rs`
//!   what the bucket has, `place.rs` where.
//! - Two listings (`archived.rs`, `live.rs`) go side by side (`pairs.rs`); `compare.rs` says what is the same, `chosen.rs`
//!   what is meant at all. So it is counted (`changes.rs`), begun (`begin.rs`) and, once more, prepared (`prepare.rs`, `save.rs`).
//! - `load.rs` stages an object (`claims.rs`: which line of the listing it is of; `needed.rs`: whether it is needed).
//! - The plan (`plan.rs`, `each.rs`) is what `commit.rs` does and `back.rs` undoes; `whose.rs` tells the objects apart that they meet.
//! - `clear.rs` removes what was staged; `finish.rs` and `previous.rs` are what becomes of old objects.
//! - `objects.rs` is the store, by exact keys; `upload.rs` an object that is being written.

mod archived;
mod back;
mod begin;
mod changes;
mod chosen;
mod claims;
mod clear;
mod commit;
mod compare;
mod each;
mod entry;
mod finish;
mod headers;
mod identity;
mod links;
mod live;
mod load;
mod needed;
mod objects;
mod pairs;
mod place;
mod plan;
mod prepare;
mod previous;
mod save;
mod staging;
mod state;
mod tally;
mod upload;
mod whose;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use dumprestore_driver::{ArchivedNode, Error, NodePath, Result, StageContext, Staging, Token};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use crate::key::can_be_asked_for;
use crate::site::Site;

pub(crate) use changes::changes;
pub(crate) use previous::{discard_previous, stage_previous};
pub(crate) use state::under_way;

use chosen::Chosen;
use claims::Claims;
use entry::Entry;
use live::{Live, live};
use needed::Needed;
use objects::Objects;
use place::Place;
use state::{taken_below, turn_below};
use tally::Tally;

/// As many objects are worked on at once.
const AT_ONCE: usize = 16;

/// Where a restore comes from.
enum Origin {
    /// An archive.
    Archive(Arc<dyn ArchivedNode>),
    /// What an earlier restore of that node kept.
    Previous(NodePath),
    /// The journal.
    Crash,
}

/// A restore, wherever it stands: all of that is in the bucket.
struct Restore {
    work: Arc<Work>,
    entry: Entry,
    /// Once it was begun here.
    loading: Option<Arc<Loading>>,
}

/// What the steps have in common.
struct Work {
    objects: Objects,
    place: Place,
    chosen: Chosen,
    origin: Origin,
    cx: StageContext,
    tally: Tally,
    /// Set once a plan that is being made has failed.
    ended: AtomicBool,
}

/// What loading needs.
struct Loading {
    needed: Needed,
    claims: Mutex<Claims>,
    /// Bounds what uploads hold in memory.
    room: tokio::sync::Semaphore,
}

/// Plans a restore of an archive.
pub(crate) async fn stage(
    site: &Site,
    archived: Arc<dyn ArchivedNode>,
    cx: StageContext,
) -> Result<Box<dyn Staging>> {
    let chosen = Chosen::new(&site.filter, &cx.selection)?;
    let entry = Entry::of(&cx, &site.bucket)?;
    Ok(Box::new(Restore::new(site, entry, chosen, Origin::Archive(archived), cx)))
}

/// Picks up what a crash has left.
pub(crate) async fn resume(site: &Site, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
    let entry = Entry::parse(token, &site.bucket)?;
    let chosen = Chosen::new(&site.filter, &cx.selection)?;
    Ok(Box::new(Restore::new(site, entry, chosen, Origin::Crash, cx)))
}

impl Restore {
    fn new(site: &Site, entry: Entry, chosen: Chosen, origin: Origin, cx: StageContext) -> Self {
        let place = Place::of(&entry.run);
        let objects = Objects::new(site.bucket.clone(), place.clone());
        let tally = Tally::default();
        let work =
            Arc::new(Work { objects, place, chosen, origin, cx, tally, ended: AtomicBool::new(false) });
        Self { work, entry, loading: None }
    }
}

impl Work {
    /// All live objects that are meant.
    ///
    /// # Errors
    /// If another restore goes on among them.
    fn live(&self) -> BoxStream<'static, Result<Live>> {
        let (chosen, chosen_too) = (self.chosen.clone(), self.chosen.clone());
        // What no request can name can't be touched, and stays.
        let takes = move |key: &str| chosen.takes(key) && can_be_asked_for(key);
        let meant = move |found: Live| match turn_below(&found.key) {
            Some(folder) if !chosen_too.excludes(folder) => Err(taken_below(&found.key)),
            _ => Ok(takes(&found.key).then_some(found)),
        };
        live(&self.objects, "").try_filter_map(move |found| std::future::ready(meant(found))).boxed()
    }

    fn is_resumed(&self) -> bool {
        matches!(self.origin, Origin::Crash)
    }

    /// What it means that what the bucket has of this restore is not there any more.
    fn gone(&self) -> Error {
        Error::environment("what was staged in the bucket is gone")
            .with_context("key", self.place.all())
            .with_hint("does somebody clean up `.dumprestore/` in that bucket? restore again")
    }
}
