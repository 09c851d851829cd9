//! The beginning: what differs, and a place to stage it.

use std::sync::{Arc, Mutex};

use dumprestore_driver::{ArchivedNode, Error, Extras, NodePath, Result};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::archived::{Wanted, wanted};
use super::claims::Claims;
use super::compare::is_same;
use super::identity::Identity;
use super::load::ROOM;
use super::needed::Needed;
use super::objects::From;
use super::pairs::{Pair, pairs};
use super::plan::Extent;
use super::state::{State, Step, check_above, check_turn, take_turn};
use super::{AT_ONCE, Loading, Origin, Work};
use dumprestore_driver::PartName;

impl Work {
    pub(super) async fn begin(&self) -> Result<Option<Loading>> {
        check_turn(&self.objects, self.place.run()).await?;
        check_above(&self.objects).await?;
        let (loading, node) = match &self.origin {
            Origin::Archive(archived) => (Some(self.first_look(archived).await?), archived.path().clone()),
            Origin::Previous(node) => (None, node.clone()),
            Origin::Crash => return Err(Error::defect("a staging that was resumed is not begun again")),
        };
        self.take_place(node).await?;
        Ok(loading)
    }

    async fn take_place(&self, node: NodePath) -> Result<()> {
        take_turn(&self.objects, self.place.run(), &node).await?;
        // Whoever takes his turn above after this finds ours, when he prepares.
        check_above(&self.objects).await?;
        let mut state = State { node, step: Step::Begun, copies_keep_etags: false, plan: Extent::default() };
        state.write(&self.objects, &self.place).await?;
        state.copies_keep_etags = self.try_rights().await?;
        state.write(&self.objects, &self.place).await
    }

    /// Does once what will be done to many, where nobody looks. Says whether a copy has the ETag of what it is a copy of.
    async fn try_rights(&self) -> Result<bool> {
        const CONTENT: &[u8] = b"{\"this\":\"is a trial of what a restore needs\"}";
        let (first, second) = (self.place.trial(1), self.place.trial(2));
        self.objects.put(&first, CONTENT.to_vec()).await?;
        self.objects.copy(From::latest(&first, CONTENT.len() as u64), &second).await?;
        let mut etags = Vec::new();
        for trial in [&first, &second] {
            let found = self.objects.look(trial).await?.ok_or_else(|| self.gone())?;
            etags.push(Identity::of(&found.state).etag);
            self.objects.delete(trial).await?;
        }
        Ok(matches!(etags.as_slice(), [Some(one), Some(two)] if one == two))
    }

    /// Which parts are needed, as far as that can be told before they are staged.
    async fn first_look(&self, archived: &Arc<dyn ArchivedNode>) -> Result<Loading> {
        let parts = {
            let archived = archived.clone();
            tokio::task::spawn_blocking(move || archived.parts().count() as u64).await.map_err(|error| {
                Error::defect("counting the parts of the archive broke off").with_source(error)
            })?
        };
        let mut needed = Needed::new(parts);
        let mut extras = ExtrasLeft::new(self.cx.extras);
        let pairs = self.pairs(archived);
        let looked = pairs.map_ok(|pair| async move { self.needs(&pair).await.map(|part| (part, pair)) });
        let mut looked = std::pin::pin!(looked.try_buffered(AT_ONCE));
        while let Some((part, pair)) = looked.try_next().await? {
            self.cx.cancel.check()?;
            if let Some(part) = part {
                needed.add(&part);
            }
            if pair.wanted.is_none() {
                extras.count(&pair.key);
            }
        }
        extras.check()?;
        let claims = Mutex::new(Claims::new(archived.clone(), self.chosen.clone()));
        Ok(Loading { needed, claims, room: Semaphore::new(ROOM) })
    }

    /// What is archived and what is live, side by side, as far as it is meant.
    pub(super) fn pairs(
        &self,
        archived: &Arc<dyn ArchivedNode>,
    ) -> futures_util::stream::BoxStream<'static, Result<Pair>> {
        let wanted = wanted(archived.clone(), self.chosen.clone(), self.cx.cancel.clone());
        pairs(wanted, self.live()).boxed()
    }

    /// The part that is needed for an object, if one is.
    async fn needs(&self, pair: &Pair) -> Result<Option<PartName>> {
        let Some(Wanted { line, .. }) = &pair.wanted else { return Ok(None) };
        if let Some(live) = &pair.live
            && is_same(&self.objects, line, live).await?
        {
            return Ok(None);
        }
        self.objects.check_key(&line.key)?;
        if line.part.is_none() {
            self.check_version(line).await?;
        }
        Ok(line.part.clone())
    }
}

/// What the target has and the archive does not, where that ends a restore.
pub(super) struct ExtrasLeft {
    policy: Extras,
    count: u64,
    named: Vec<String>,
}

impl ExtrasLeft {
    pub(super) fn new(policy: Extras) -> Self {
        Self { policy, count: 0, named: Vec::new() }
    }

    pub(super) fn count(&mut self, key: &str) {
        self.count += 1;
        if self.named.len() < 3 {
            self.named.push(key.escape_debug().to_string());
        }
    }

    /// # Errors
    /// If there are some, and there may be none.
    pub(super) fn check(&self) -> Result<()> {
        if self.policy != Extras::Fail || self.count == 0 {
            return Ok(());
        }
        let more = self.count.saturating_sub(self.named.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(Error::environment(format!("the target has {} objects that the archive does not", self.count))
            .with_context("extras", format_args!("{}{more}", self.named.join(", ")))
            .with_hint("let them stay with `--extras keep`, or go with `--extras remove`"))
    }
}
