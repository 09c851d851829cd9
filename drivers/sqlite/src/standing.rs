//! Which state the live database is in, after a swap that may or may not have happened.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use dumprestore_driver::{Error, Result};

use crate::fault::{failed, io_failed};
use crate::header::HEADER;
use crate::image::{BLOCK, Route, View};
use crate::mark::{Inode, Mark, Reached, Swap};
use crate::open;
use crate::restore::Restore;

/// What the live file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What it held before the restore, or what became of that since.
    Old,
    /// What was restored, or what became of that since.
    New,
}

/// Finds out.
///
/// # Errors
/// [`ErrorKind::Stuck`](dumprestore_driver::ErrorKind::Stuck) if it can't be said: then nothing may be overwritten.
pub(crate) fn standing(restore: &Restore) -> Result<Standing> {
    let Some(mark) = Mark::read(&restore.names.mark)? else { return Ok(Standing::Old) };
    match (&mark.swap, mark.reached) {
        (Swap::Files { new, .. }, _) => of_files(restore, *new),
        (Swap::Pages { .. }, Reached::Done) => Ok(Standing::New),
        (Swap::Pages { cookie, page_size }, Reached::Intended | Reached::Undoing) => {
            of_pages(restore, *cookie, *page_size, mark.reached)
        }
    }
}

fn of_files(restore: &Restore, new: Option<Inode>) -> Result<Standing> {
    let live = Inode::of(restore.place.path())?;
    Ok(if live == new { Standing::New } else { Standing::Old })
}

/// The swap makes the schema cookie one more than it was, so an unchanged one proves that it did not happen. A changed
/// one proves nothing: a migration may have run since the crash. Then the pages tell.
fn of_pages(restore: &Restore, cookie: i64, page_size: i64, reached: Reached) -> Result<Standing> {
    let path = restore.place.path();
    let patience = restore.patience.unbending();
    let conn = open::live(path, &patience)?;
    open::begin_read(&conn, path, &patience)?;
    let fault = || failed("can't see whether the swap has happened", path);
    if reached == Reached::Intended && open::number(&conn, "schema_version").map_err(fault())? == cookie {
        return Ok(Standing::Old);
    }
    let live_page_size = open::number(&conn, "page_size").map_err(fault())?;
    let route = restore.route.unwrap_or_else(|| Route::of(&conn));
    let view = View { conn: &conn, path, route, cancel: &patience.cancel };
    view.save(&restore.names.partial)?;
    drop(conn);
    let votes = Votes::count(restore, page_size, live_page_size)?;
    crate::entry::remove_with_companions(&restore.names.partial)?;
    votes.judge().ok_or_else(|| undecided(restore))
}

/// Only pages that differ between the old and the new state can tell them apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Votes {
    old: u64,
    new: u64,
    /// There is no page that could tell: it makes no difference which of them it is.
    alike: bool,
}

impl Votes {
    fn count(restore: &Restore, old_size: i64, live_size: i64) -> Result<Self> {
        let new_size =
            crate::header::Header::of_file(&restore.names.staged)?.map_or(0, |header| header.page_size);
        if u64::try_from(old_size) != Ok(new_size) {
            // A page size stays what it is, so it tells by itself.
            let (old, new) = (live_size == old_size, u64::try_from(live_size) == Ok(new_size));
            return Ok(Self { old: old.into(), new: new.into(), alike: false });
        }
        let size = usize::try_from(new_size).unwrap_or(BLOCK);
        let mut live = Pages::open(&restore.names.partial, size)?;
        let mut old = Pages::open(&restore.names.previous, size)?;
        let mut new = Pages::open(&restore.names.staged, size)?;
        let mut votes = Self { alike: true, ..Self::default() };
        while votes.add(live.next()?, old.next()?, new.next()?) {}
        Ok(votes)
    }

    fn add(&mut self, live: &[u8], old: &[u8], new: &[u8]) -> bool {
        if old != new {
            self.alike = false;
            self.old += u64::from(live == old);
            self.new += u64::from(live == new);
        }
        !(old.is_empty() && new.is_empty())
    }

    fn judge(&self) -> Option<Standing> {
        match (self.old, self.new) {
            _ if self.alike => Some(Standing::Old),
            (1.., 0) => Some(Standing::Old),
            (0, 1..) => Some(Standing::New),
            _ => None,
        }
    }
}

/// The pages of a file, without the header: its counters change with every commit.
struct Pages {
    file: BufReader<File>,
    page: Vec<u8>,
    size: usize,
    path: std::path::PathBuf,
    first: bool,
}

impl Pages {
    fn open(path: &Path, size: usize) -> Result<Self> {
        let file = File::open(path).map_err(io_failed("can't compare states of the database", path))?;
        let file = BufReader::with_capacity(BLOCK, file);
        Ok(Self { file, page: Vec::with_capacity(size), size, path: path.to_owned(), first: true })
    }

    /// The next page; empty at the end.
    fn next(&mut self) -> Result<&[u8]> {
        self.page.clear();
        Read::by_ref(&mut self.file)
            .take(self.size as u64)
            .read_to_end(&mut self.page)
            .map_err(io_failed("can't compare states of the database", &self.path))?;
        if std::mem::take(&mut self.first) && self.page.len() > HEADER {
            self.page[..HEADER].fill(0);
        }
        Ok(&self.page)
    }
}

fn undecided(restore: &Restore) -> Error {
    Error::stuck(
        "it can't be said whether the database was swapped before the crash: it was changed a lot since",
    )
    .with_context("database", restore.place.path().display())
    .with_context("before", restore.names.previous.display())
    .with_context("restored", restore.names.staged.display())
    .with_hint(format!(
        "look at the three; if the database is as you want it, remove `{}` and recover again",
        restore.names.mark.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(pages: &[(&str, &str, &str)]) -> Option<Standing> {
        let mut votes = Votes { alike: true, ..Votes::default() };
        for (live, old, new) in pages {
            votes.add(live.as_bytes(), old.as_bytes(), new.as_bytes());
        }
        votes.judge()
    }

    #[test]
    fn pages_that_only_one_state_has_tell_it() {
        assert_eq!(votes(&[("a", "a", "b"), ("x", "x", "x")]), Some(Standing::Old));
        assert_eq!(votes(&[("b", "a", "b"), ("changed", "a", "b")]), Some(Standing::New));
    }

    #[test]
    fn a_live_state_with_pages_of_both_or_of_neither_is_left_to_people() {
        assert_eq!(votes(&[("a", "a", "b"), ("d", "c", "d")]), None);
        assert_eq!(votes(&[("changed", "a", "b")]), None);
    }

    #[test]
    fn equal_states_need_no_decision() {
        assert_eq!(votes(&[("a", "a", "a"), ("changed", "c", "c")]), Some(Standing::Old));
    }
}
