//! What a restore writes beside the keys that it makes: from it alone, after any crash, one can tell where it stands.
//!
//! Each database that a restore touches has one key more meanwhile, [`MARK`]: a hash that `SWAPDB` moves with all other keys. For
//! each restore of each live database it has a field, `RUN:INDEX`, that says what the database is to that restore.

use dumprestore_driver::{Error, ErrorKind, Result};
use redis::Cmd;

use super::line::{Line, bytes, not_understood, select};
use crate::connect::Reply;

/// The key of what restores write of themselves. No dump has it.
pub(crate) const MARK: &str = "dumprestore:restore";

/// What a database is to a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It may become the place for new keys, if it is found to be empty.
    Claimed,
    /// It holds new keys that are not live.
    Staged,
    /// The same, and all of them are there and were counted.
    Ready,
    /// It is live, and its new keys are made elsewhere.
    Live,
    /// It is live, and holds the new keys.
    New,
    /// It holds the keys that were live.
    Old,
    /// The same, for good.
    Kept,
    /// It was kept, and is live again by another restore, which is not finished.
    Back,
    /// It is live, and holds new keys under other names.
    Loading,
    /// It is live, and keys go aside that the archive does not have.
    Moving,
    /// It is live, and new keys take the place of old ones, one after the other.
    Renaming,
}

const MARKS: [(Mark, &str); 11] = [
    (Mark::Claimed, "claimed"),
    (Mark::Staged, "staged"),
    (Mark::Ready, "ready"),
    (Mark::Live, "live"),
    (Mark::New, "new"),
    (Mark::Old, "old"),
    (Mark::Kept, "kept"),
    (Mark::Back, "back"),
    (Mark::Loading, "loading"),
    (Mark::Moving, "moving"),
    (Mark::Renaming, "renaming"),
];

impl Mark {
    pub(super) fn as_str(self) -> &'static str {
        MARKS.iter().find(|(mark, _)| *mark == self).map_or("", |(_, text)| text)
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        MARKS.iter().find(|(_, known)| known.as_bytes() == text).map(|(mark, _)| *mark)
    }
}

/// The fields of one restore of one live database.
#[derive(Debug, Clone)]
pub(super) struct Fields(String);

impl Fields {
    pub(super) fn of(run: &str, live: u64) -> Self {
        Self(format!("{run}:{live}"))
    }

    /// What the database is.
    pub(super) fn mark(&self) -> &str {
        &self.0
    }

    /// How many keys without a time of expiry are ours.
    pub(super) fn lasting(&self) -> String {
        format!("{}:lasting", self.0)
    }

    /// How many keys with such a time are ours.
    pub(super) fn expiring(&self) -> String {
        format!("{}:expiring", self.0)
    }

    /// How many of those without a time of expiry may go by themselves, for fields of them expire.
    pub(super) fn fading(&self) -> String {
        format!("{}:fading", self.0)
    }

    /// The functions that belong to the keys of this database.
    pub(super) fn functions(&self) -> String {
        format!("{}:functions", self.0)
    }

    /// Those that the server had before.
    pub(super) fn old_functions(&self) -> String {
        format!("{}:old functions", self.0)
    }

    fn all(&self) -> [String; 6] {
        [
            self.0.clone(),
            self.lasting(),
            self.expiring(),
            self.fading(),
            self.functions(),
            self.old_functions(),
        ]
    }

    /// Sets the mark, in the database that was entered.
    pub(super) fn set(&self, mark: Mark) -> Cmd {
        let mut cmd = redis::cmd("HSET");
        cmd.arg(MARK).arg(self.mark()).arg(mark.as_str());
        cmd
    }

    /// Sets another field.
    pub(super) fn put(field: &str, value: impl redis::ToRedisArgs) -> Cmd {
        let mut cmd = redis::cmd("HSET");
        cmd.arg(MARK).arg(field).arg(value);
        cmd
    }

    /// Removes all fields of this restore; with its last field goes the key.
    pub(super) fn remove(&self) -> Cmd {
        let mut cmd = redis::cmd("HDEL");
        cmd.arg(MARK).arg(&self.all());
        cmd
    }

    /// A field of the database that was entered.
    pub(super) fn get(line: &mut Line, field: &str) -> Result<Option<Vec<u8>>> {
        Ok(bytes(line.ask(redis::cmd("HGET").arg(MARK).arg(field))?))
    }

    pub(super) fn number(line: &mut Line, field: &str) -> Result<Option<u64>> {
        let value = Self::get(line, field)?;
        Ok(value.and_then(|digits| String::from_utf8(digits).ok()?.parse().ok()))
    }
}

/// Where a restore of one database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing of it is there: it has not begun, or is over.
    Absent,
    /// A place is claimed, and nothing in it is ours yet.
    Claimed(u64),
    /// The live database is marked, and no other is.
    Begun,
    /// New keys are there, perhaps not all, and not live.
    Staged(u64),
    /// All new keys are there, and not live.
    Ready(u64),
    /// New keys are live, and the old ones there.
    Committed(u64),
    /// The old ones are there, and what is live is neither they nor the new ones.
    Overtaken(u64),
    /// New keys are live, and the old ones nowhere.
    Lost,
    /// New keys are live, and the old ones kept there for good.
    Kept(u64),
}

/// Looks where a restore of a database stands; its new or old keys are in one of `candidates`.
pub(super) fn standing(line: &mut Line, fields: &Fields, live: u64, candidates: &[u64]) -> Result<Standing> {
    let mut cmds = Vec::new();
    for index in candidates.iter().chain([&live]) {
        let mut get = redis::cmd("HGET");
        get.arg(MARK).arg(fields.mark());
        cmds.extend([select(*index), get]);
    }
    let replies = line.ask_all(&cmds)?;
    let mut marks = replies.into_iter().skip(1).step_by(2).map(|reply| match reply {
        Reply::Bulk(text) => Mark::parse(&text).map(Some).ok_or_else(not_understood),
        _ => Ok(None),
    });
    let mut found = Standing::Absent;
    for index in candidates {
        let standing = match marks.next().transpose()?.flatten() {
            None
            | Some(Mark::Live | Mark::New | Mark::Back | Mark::Loading | Mark::Moving | Mark::Renaming) => {
                continue;
            }
            Some(Mark::Claimed) => Standing::Claimed(*index),
            Some(Mark::Staged) => Standing::Staged(*index),
            Some(Mark::Ready) => Standing::Ready(*index),
            Some(Mark::Old) => Standing::Committed(*index),
            Some(Mark::Kept) => Standing::Kept(*index),
        };
        // A claim that was given up in favour of another place says nothing.
        if !matches!(found, Standing::Absent | Standing::Claimed(_)) {
            if matches!(standing, Standing::Claimed(_)) {
                continue;
            }
            return Err(Error::stuck("two databases claim to be the other half of one restore")
                .with_context("database", live)
                .with_hint(format!("look at the key `{MARK}` of the databases of this server")));
        }
        found = standing;
    }
    Ok(match (found, marks.next().transpose()?.flatten()) {
        (Standing::Absent, Some(Mark::New)) => Standing::Lost,
        (Standing::Absent, Some(Mark::Live)) => Standing::Begun,
        (Standing::Committed(index), found) if found != Some(Mark::New) => Standing::Overtaken(index),
        (found, _) => found,
    })
}

/// Refuses a live database in which another restore has its staged or old keys, be it of the same run. One that is committed, and
/// only not finished, is not in the way, nor one that makes its keys elsewhere.
pub(super) fn refuse_others(line: &mut Line, live: u64, fields: &Fields) -> Result<()> {
    line.select(live)?;
    match other(line, fields, |mark| !matches!(mark, Mark::New | Mark::Back | Mark::Live))? {
        None => Ok(()),
        Some(other) => Err(Error::new(ErrorKind::Locked, "another restore has to do with this database")
            .with_context("database", live)
            .with_context("restore", other)
            .with_hint(format!(
                "wait for it, or run `dumprestore recover`; if it has kept the state before it there, \
                 `dumprestore recover --discard-previous` drops that; if neither helps, for the server has lost what it was told \
                 last, remove the key `{MARK}` from the database"
            ))),
    }
}

/// Another restore that has keys in the database that was entered, and needs them: a claim is given up where it meets keys.
pub(super) fn another_with_keys(line: &mut Line, fields: &Fields) -> Result<Option<String>> {
    other(line, fields, |mark| !matches!(mark, Mark::New | Mark::Back | Mark::Live | Mark::Claimed))
}

/// Another restore to which the database that was entered is something that is in the way.
fn other(line: &mut Line, fields: &Fields, is_in_the_way: impl Fn(Mark) -> bool) -> Result<Option<String>> {
    let Reply::Array(replies) = line.ask(redis::cmd("HGETALL").arg(MARK))? else { return Ok(None) };
    let texts: Vec<Vec<u8>> = replies.into_iter().filter_map(bytes).collect();
    let ours = |field: &[u8]| {
        field.strip_prefix(fields.mark().as_bytes()).is_some_and(|rest| matches!(rest, [] | [b':', ..]))
    };
    Ok(texts.chunks_exact(2).find_map(|pair| {
        let [field, value] = pair else { return None };
        let in_the_way = Mark::parse(value).is_some_and(&is_in_the_way);
        (!ours(field) && in_the_way).then(|| field.escape_ascii().to_string())
    }))
}
