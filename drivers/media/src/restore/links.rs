//! References to what is staged.

use std::collections::BTreeMap;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Digest, Error, Extras, Reference, Result, Unresolved, Why};
use futures_util::{StreamExt, TryStreamExt};
use sha2::{Digest as _, Sha256};

use super::objects::From;
use super::plan::{self, New};
use super::state::State;
use super::upload::CHUNK;
use super::{AT_ONCE, Origin, Work};
use crate::key::part_name;
use crate::line::{LISTING, Lines};

/// What the restore makes of a key.
#[derive(Debug, Clone)]
enum Fate {
    /// It is archived, with that digest if the archive has one.
    Archived(Option<Digest>),
    /// It is copied from there.
    Copied(New),
    /// It goes, or is not there.
    Missing,
    /// It stays as it is.
    Left,
}

impl Work {
    /// Those of `references` that do not resolve in what will be live after the commit.
    pub(super) async fn unresolved(&self, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let keys =
            references.iter().filter_map(|reference| std::str::from_utf8(reference.key.as_bytes()).ok());
        let fates = match &self.origin {
            Origin::Archive(archived) => self.archived_fates(archived, keys).await?,
            Origin::Previous(_) | Origin::Crash => self.planned_fates(keys).await?,
        };
        let asked: Vec<(Reference, Option<Fate>)> = references
            .iter()
            .map(|reference| {
                let key = std::str::from_utf8(reference.key.as_bytes()).ok();
                (reference.clone(), key.and_then(|key| fates.get(key)).cloned())
            })
            .collect();
        let checks = futures_util::stream::iter(asked).map(async |(reference, fate)| {
            let key = std::str::from_utf8(reference.key.as_bytes()).unwrap_or_default();
            let why = match fate {
                Some(fate) => self.why_not(key, fate, &reference).await?,
                None => Some(Why::Missing),
            };
            Ok(why.map(|why| Unresolved::new(reference, why)))
        });
        checks.buffered(AT_ONCE).try_filter_map(async |found| Ok(found)).try_collect().await
    }

    async fn why_not(&self, key: &str, fate: Fate, reference: &Reference) -> Result<Option<Why>> {
        self.cx.cancel.check()?;
        let found = match fate {
            Fate::Missing => return Ok(Some(Why::Missing)),
            Fate::Archived(Some(digest)) => digest,
            // The bytes are in the bucket alone.
            Fate::Archived(None) | Fate::Left => {
                let Some(found) = self.objects.look(key).await? else { return Ok(Some(Why::Missing)) };
                let from = From::latest(key, found.state.size);
                match reference.digest {
                    None => return Ok(None),
                    Some(_) => self.digest_of(from).await?,
                }
            }
            Fate::Copied(new) => match reference.digest {
                None => return Ok(None),
                Some(_) => self.digest_of(new.source()).await?,
            },
        };
        Ok(reference.digest.filter(|wanted| *wanted != found).map(|_| Why::Differs(found)))
    }

    async fn digest_of(&self, from: From<'_>) -> Result<Digest> {
        let (mut hash, mut offset) = (Sha256::new(), 0);
        while offset < from.size {
            self.cx.cancel.check()?;
            let piece = self.objects.read(from, offset, (CHUNK as u64).min(from.size - offset)).await?;
            if piece.is_empty() {
                return Err(self.gone());
            }
            offset += piece.len() as u64;
            for bytes in piece {
                hash.update(bytes);
            }
        }
        Ok(Digest::new(hash.finalize().into()))
    }

    /// By the archive: what it has is what will be there.
    async fn archived_fates(
        &self,
        archived: &Arc<dyn ArchivedNode>,
        keys: impl Iterator<Item = &str>,
    ) -> Result<BTreeMap<String, Fate>> {
        let mut fates = BTreeMap::new();
        for key in keys {
            let stays = !self.chosen.takes(key) || self.cx.extras == Extras::Keep;
            fates.insert(key.to_owned(), if stays { Fate::Left } else { Fate::Missing });
        }
        let (archived, chosen) = (archived.clone(), self.chosen.clone());
        let found = tokio::task::spawn_blocking(move || {
            let has_bytes = archived.parts().next().is_some_and(|part| part.name.as_str() != LISTING);
            match has_bytes {
                true => by_parts(&*archived, &mut fates, |key| chosen.takes(key)),
                false => by_lines(&*archived, &mut fates, |key| chosen.takes(key)),
            }
            .map(|()| fates)
        });
        found.await.map_err(|error| Error::defect("looking at the archive broke off").with_source(error))?
    }

    /// By the plan, where there is no archive.
    async fn planned_fates(&self, keys: impl Iterator<Item = &str>) -> Result<BTreeMap<String, Fate>> {
        let mut fates: BTreeMap<String, Fate> = keys.map(|key| (key.to_owned(), Fate::Left)).collect();
        let state = State::read(&self.objects, &self.place).await?.ok_or_else(|| self.gone())?;
        let mut plan = plan::read(self.objects.clone(), self.place.plan(), state.plan).boxed();
        while let Some(step) = plan.try_next().await? {
            if let Some(fate) = fates.get_mut(&step.key) {
                *fate = step.new.map_or(Fate::Missing, Fate::Copied);
            }
        }
        Ok(fates)
    }
}

fn by_parts(
    archived: &dyn ArchivedNode,
    fates: &mut BTreeMap<String, Fate>,
    takes: impl Fn(&str) -> bool,
) -> Result<()> {
    for (key, fate) in fates.iter_mut().filter(|(key, _)| !key.is_empty() && takes(key)) {
        // A key that is too long for a part is in no archive.
        if let Some(part) = part_name(key).ok().and_then(|name| archived.part(&name)) {
            *fate = Fate::Archived(Some(part.digest));
        }
    }
    Ok(())
}

fn by_lines(
    archived: &dyn ArchivedNode,
    fates: &mut BTreeMap<String, Fate>,
    takes: impl Fn(&str) -> bool,
) -> Result<()> {
    for line in Lines::of(archived)? {
        let line = line?;
        if let Some(fate) = fates.get_mut(&line.key).filter(|_| takes(&line.key)) {
            let version = line.version.clone();
            let is = super::identity::Identity::staged(line.size, line.etag.as_deref());
            *fate = Fate::Copied(New { from: line.key, version, is });
        }
    }
    Ok(())
}
