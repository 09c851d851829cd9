//! The swap where SQLite can't make it: no live database, or a file that is none. Files are moved.
//!
//! The old file gets a second name before the new one takes the first: there is always one or the other.

use std::fs;
use std::io;
use std::path::Path;

use dumprestore_driver::{Error, Result};

use crate::entry::{Form, remove};
use crate::fault::{failed, io_failed};
use crate::image::sync_folder;
use crate::mark::{Inode, Mark, Reached, Swap};
use crate::open;
use crate::place::{COMPANIONS, suffixed};
use crate::profile::Journal;
use crate::restore::Restore;

const WHAT: &str = "can't swap the restored database in";

/// Moves the staged file, or none, into the place of the live one, or of none.
pub(crate) fn move_in(restore: &Restore, old: Form) -> Result<()> {
    let live = restore.place.path();
    let names = &restore.names;
    let wal = if old == Form::Database { close(restore)? } else { false };
    let swap = Swap::Files { old: Inode::of(live)?, new: Inode::of(&names.staged)?, wal };
    let mut mark = Mark { reached: Reached::Intended, swap };
    mark.write(&names.mark)?;
    // A log of the old file beside the new one would be played into it.
    move_companions(live, &names.previous)?;
    if old != Form::Absent {
        set_aside(live, &names.previous)?;
    }
    match restore.entry.form {
        Form::Absent if old == Form::Absent => {}
        Form::Absent => remove(live)?,
        _ => put(restore, old)?,
    }
    complete(restore)?;
    mark.reach(Reached::Done, &names.mark)
}

/// What follows once the file is in place.
pub(crate) fn complete(restore: &Restore) -> Result<()> {
    move_companions(&restore.names.staged, restore.place.path())?;
    sync_folder(restore.place.path())
}

fn put(restore: &Restore, old: Form) -> Result<()> {
    let (staged, live) = (&restore.names.staged, restore.place.path());
    let put = match old {
        // Whatever has come to be there since the plan was made is not ours to overwrite.
        Form::Absent => move_to_nothing(staged, live),
        _ => fs::rename(staged, live),
    };
    put.map_err(io_failed(WHAT, live))
}

fn move_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems, such as NFS, don't know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_to_nothing(from, to),
        done => Ok(done?),
    }
}

/// A second name never replaces anything either. Where the file system knows none, or gives the file another number
/// with it, by which a rollback would not know it again, it is renamed if nothing is seen there.
fn link_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) if number(from)? == number(to)? => return fs::remove_file(from),
        Ok(()) => fs::remove_file(to)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    match to.symlink_metadata() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

fn number(path: &Path) -> io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::ino(&path.symlink_metadata()?))
}

/// Gives the old file a second name; where the file system knows no second names, another name.
fn set_aside(live: &Path, previous: &Path) -> Result<()> {
    if Inode::of(previous)?.is_some() && Inode::of(previous)? == Inode::of(live)? {
        return Ok(());
    }
    remove(previous)?;
    if fs::hard_link(live, previous).is_ok() {
        return Ok(());
    }
    fs::rename(live, previous).map_err(io_failed("can't set the old file aside", live))
}

/// Moves a file, which is replaced whole, and so must not be open anywhere, out of WAL mode: all of it is then in
/// one file. Says whether it was in WAL mode.
fn close(restore: &Restore) -> Result<bool> {
    let path = restore.place.path();
    let conn = open::live(path, &restore.patience)?;
    open::begin_read(&conn, path, &restore.patience)?;
    let wal = Journal::of(&conn).map_err(failed(WHAT, path))? == Journal::Wal;
    open::end_read(&conn, path)?;
    let in_use = || {
        Error::environment("a database that is replaced by another file, or by none, must not be open")
            .with_context("database", path.display())
            .with_hint("stop the application, and restore again")
    };
    if wal && open::set_journal_mode(&conn, "DELETE").map_err(|_| in_use())? != "delete" {
        return Err(in_use());
    }
    conn.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(|_| in_use())?;
    Ok(wal)
}

/// Puts the old file, or none, back.
pub(crate) fn move_back(restore: &Restore) -> Result<()> {
    let (live, names) = (restore.place.path(), &restore.names);
    let Some(Mark { swap: Swap::Files { old, new, wal }, .. }) = Mark::read(&names.mark)? else {
        return Ok(());
    };
    let (there, aside) = (Inode::of(live)?, Inode::of(&names.previous)?);
    let is_new = new.is_some() && there == new;
    // The file that was set aside may be the only copy: it goes back, or stays. That it is the old one is known by its
    // name; some file systems give a file another number when it gets a second name.
    match aside {
        Some(_) if there == aside => remove(&names.previous)?,
        Some(_) if is_new || there.is_none() => {
            remove_companions(live)?;
            fs::rename(&names.previous, live).map_err(io_failed("can't put the old file back", live))?;
        }
        Some(_) => return Err(replaced(restore)),
        None if is_new && old.is_none() => {
            remove_companions(live)?;
            remove(live)?;
        }
        None => {}
    }
    move_companions(&names.previous, live)?;
    sync_folder(live)?;
    if wal {
        reopen_log(restore)?;
    }
    Ok(())
}

fn replaced(restore: &Restore) -> Error {
    Error::stuck("another file has taken the place of the database since the restore")
        .with_context("database", restore.place.path().display())
        .with_context("before", restore.names.previous.display())
        .with_hint("move that file away, and recover again")
}

fn reopen_log(restore: &Restore) -> Result<()> {
    let path = restore.place.path();
    let conn = open::live(path, &restore.patience.unbending())?;
    open::set_journal_mode(&conn, "WAL")
        .map(drop)
        .map_err(failed("can't put the old state of the database back", path))
}

/// Moves what lies beside a database along with it. The index of a log is made anew from the log.
pub(crate) fn move_companions(from: &Path, to: &Path) -> Result<()> {
    for suffix in COMPANIONS {
        let (from, to) = (suffixed(from, suffix), suffixed(to, suffix));
        if suffix == "-shm" {
            remove(&from)?;
            continue;
        }
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_failed("can't move a log along with its database", &from)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn remove_companions(path: &Path) -> Result<()> {
    COMPANIONS.iter().try_for_each(|suffix| remove(&suffixed(path, suffix)))
}

/// Moves a file with its companions over another one with its own.
pub(crate) fn move_whole(from: &Path, to: &Path) -> Result<()> {
    remove_companions(to)?;
    fs::rename(from, to).map_err(io_failed("can't keep the old state", to))?;
    move_companions(from, to)?;
    sync_folder(to)
}

/// Copies a file with its companions, for its owner only.
pub(crate) fn copy_whole(from: &Path, to: &Path, cancel: &dumprestore_driver::Cancel) -> Result<()> {
    for suffix in ["", "-wal", "-journal"] {
        let (from, to) = (suffixed(from, suffix), suffixed(to, suffix));
        let mut source = match fs::File::open(&from) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() => continue,
            opened => opened.map_err(io_failed("can't read the old state that was kept", &from))?,
        };
        let mut copy = crate::image::create(&to)?;
        crate::image::copy(&mut source, &mut copy, cancel)?;
        copy.sync_all().map_err(io_failed("can't write the old state to disk", &to))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_flag_of_the_file_system_a_file_is_moved_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("staged"), folder.path().join("live"));
        fs::write(&from, "new").unwrap();
        let before = number(&from).unwrap();
        link_to_nothing(&from, &to).unwrap();
        assert_eq!((fs::read(&to).unwrap(), number(&to).unwrap()), (b"new".to_vec(), before));
        assert!(!from.exists());

        fs::write(&from, "newer").unwrap();
        for moved in [move_to_nothing(&from, &to), link_to_nothing(&from, &to)] {
            assert_eq!(moved.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!((fs::read(&to).unwrap(), fs::read(&from).unwrap()), (b"new".to_vec(), b"newer".to_vec()));
    }
}
