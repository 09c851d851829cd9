//! The archive as the engine and its drivers see it.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use dumprestore_archive as archive;
use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Digest, Error, ErrorKind, Facts, NodePath, PartName, Result,
};

impl From<crate::Compression> for archive::Compression {
    fn from(compression: crate::Compression) -> Self {
        match compression {
            crate::Compression::Deflate => Self::Deflate,
            crate::Compression::Zstd => Self::Zstd,
            crate::Compression::Store => Self::Store,
        }
    }
}

/// The error of ours that an error of the archive came from: who reads or writes it has told what is wrong there.
pub(crate) fn told(error: &archive::Error) -> Option<&Error> {
    let source = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    source.get_ref()?.downcast_ref()
}

/// An error of the archive as one of ours.
pub(crate) fn archive_error(error: archive::Error) -> Error {
    if let Some(told) = told(&error) {
        let made = Error::new(told.kind(), error.to_string());
        return match told.hint() {
            Some(hint) => made.with_hint(hint),
            None => made,
        };
    }
    let kind = match error.kind() {
        archive::ErrorKind::Io | archive::ErrorKind::Scratch | archive::ErrorKind::Exists => {
            ErrorKind::Environment
        }
        archive::ErrorKind::Cancelled => ErrorKind::Cancelled,
        archive::ErrorKind::NotFound => ErrorKind::Config,
        archive::ErrorKind::Misuse => ErrorKind::Defect,
        _ => ErrorKind::Archive,
    };
    let made = Error::new(kind, error.to_string());
    let full = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::StorageFull);
    match (error.hint_text(), kind) {
        (Some(hint), _) => made.with_hint(hint),
        (None, _) if full => made.with_hint("make room where the archive is written, and run it again"),
        (None, ErrorKind::Archive) => made.with_hint("take another archive; `verify` says which are whole"),
        (None, _) => made,
    }
}

/// A node's section of an archive, as a driver reads it.
pub(crate) struct Section {
    archive: Arc<archive::Archive>,
    path: NodePath,
    at: usize,
    /// Why a list of parts was not whole that a driver was given.
    failed: OnceLock<(ErrorKind, String)>,
}

impl Section {
    /// The section of the node at that index of the manifest.
    pub(crate) fn new(archive: &Arc<archive::Archive>, at: usize) -> Result<Self> {
        let node = archive.manifest().nodes.get(at).ok_or_else(|| Error::defect("there is no such node"))?;
        let path = NodePath::new(node.path.as_str()).map_err(|error| error.with_kind(ErrorKind::Archive))?;
        let section = Self { archive: archive.clone(), path, at, failed: OnceLock::new() };
        section.try_parts(0).and_then(|mut parts| parts.try_for_each(|part| part.map(drop)))?;
        Ok(section)
    }

    fn node(&self) -> &archive::Node {
        // `new` has checked the index, and the manifest never changes.
        &self.archive.manifest().nodes[self.at]
    }

    /// Its parts in figures: how many, and bytes of content.
    pub(crate) fn totals(&self) -> Result<(u64, u64)> {
        let totals = self.archive.totals(self.path.as_str()).map_err(archive_error)?;
        Ok((totals.parts, totals.size))
    }

    fn try_parts(&self, first: u64) -> Result<impl Iterator<Item = Result<ArchivedPart>> + Send + use<>> {
        let parts = self.archive.parts_from(self.path.as_str(), first).map_err(archive_error)?;
        let path = self.path.clone();
        Ok(parts
            .map(move |part| archived_part(&part.map_err(archive_error)?).map_err(|e| e.with_node(&path))))
    }

    /// All parts in such an order that lanes, which take one after the other, work far apart from each other: two
    /// threads that make files in one folder wait for each other most of the time. With one, in the order of the archive.
    pub(crate) fn apart(
        &self,
        lanes: usize,
    ) -> Result<impl Iterator<Item = Result<ArchivedPart>> + Send + use<>> {
        let (count, _) = self.totals()?;
        let stretch = count.div_ceil(lanes.max(1) as u64).max(1);
        let firsts = (0..count).step_by(usize::try_from(stretch).unwrap_or(usize::MAX));
        let stretches = firsts.map(|first| self.try_parts(first).map(|parts| parts.take(stretch as usize)));
        let stretches: Vec<_> = stretches.collect::<Result<_>>()?;
        Ok(in_turn(stretches))
    }

    /// Fails if a list of parts that a driver was given was not whole. What it has made of that must not be swapped in.
    pub(crate) fn sound(&self) -> Result<()> {
        match self.failed.get() {
            Some((kind, message)) => Err(Error::new(*kind, message.clone()).with_node(&self.path)),
            None => Ok(()),
        }
    }

    fn note<T>(&self, read: Result<T>) -> Option<T> {
        let keep = |error: Error| self.failed.get_or_init(|| (error.kind(), error.to_string()));
        read.map_err(keep).ok()
    }
}

/// One of each, again and again.
fn in_turn<I: Iterator>(mut all: Vec<I>) -> impl Iterator<Item = I::Item> {
    let mut turn = 0;
    std::iter::from_fn(move || {
        while !all.is_empty() {
            turn %= all.len();
            match all[turn].next() {
                Some(item) => {
                    turn += 1;
                    return Some(item);
                }
                None => drop(all.remove(turn)),
            }
        }
        None
    })
}

fn archived_part(part: &archive::Part) -> Result<ArchivedPart> {
    let name = PartName::new(&*part.name)?;
    Ok(ArchivedPart::new(name, part.size, Digest::new(part.sha256.0)).with_rows(part.rows))
}

impl ArchivedNode for Section {
    fn path(&self) -> &NodePath {
        &self.path
    }

    fn kind(&self) -> &str {
        &self.node().driver
    }

    fn format(&self) -> u32 {
        self.node().driver_format
    }

    fn facts(&self) -> &Facts {
        &self.node().facts
    }

    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        let parts = self.note(self.try_parts(0)).into_iter().flatten();
        Box::new(parts.map_while(|part| self.note(part)))
    }

    fn part(&self, name: &PartName) -> Option<ArchivedPart> {
        let found = self.archive.find(self.path.as_str(), name.as_str()).map_err(archive_error);
        let found = found.and_then(|part| part.as_ref().map(archived_part).transpose());
        self.note(found).flatten()
    }

    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        let reader = self.archive.part(self.path.as_str(), name.as_str()).map_err(archive_error)?;
        Ok(Box::new(reader))
    }
}

/// An error from a part's reader as one of ours.
pub(crate) fn read_error(error: std::io::Error) -> Error {
    match error.downcast::<archive::Error>() {
        Ok(error) => archive_error(error),
        Err(error) => Error::io("can't read the archive", error),
    }
}

/// An error from a part's writer as one of ours.
pub(crate) fn write_error(error: std::io::Error) -> Error {
    match error.downcast::<archive::Error>() {
        Ok(error) => archive_error(error),
        Err(error) => Error::io("can't write the archive", error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use dumprestore_archive::{self as archive, RangeRead};
    use dumprestore_driver::{ArchivedNode, ErrorKind, PartName};

    use super::{Section, in_turn};

    #[test]
    fn lanes_begin_far_apart_and_one_lane_keeps_the_order() {
        let order =
            |all: Vec<Vec<u32>>| in_turn(all.into_iter().map(Vec::into_iter).collect()).collect::<Vec<_>>();
        assert_eq!(order(vec![vec![0, 1, 2, 3], vec![4, 5, 6]]), [0, 4, 1, 5, 2, 6, 3]);
        assert_eq!(order(vec![vec![0, 1, 2, 3]]), [0, 1, 2, 3]);
        assert_eq!(order(Vec::new()), [0; 0]);
    }

    /// A file on a disk that fails from some moment on.
    struct Failing {
        file: std::fs::File,
        failed: Arc<AtomicBool>,
    }

    impl RangeRead for Failing {
        fn size(&self) -> io::Result<u64> {
            RangeRead::size(&self.file)
        }

        fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
            match self.failed.load(Ordering::Relaxed) {
                true => Err(io::Error::other("the disk is gone")),
                false => RangeRead::read_exact_at(&self.file, buffer, at),
            }
        }
    }

    /// A list that is longer than what is read of it at once, when an archive is opened.
    const PARTS: u64 = 60_000;

    fn name(at: u64) -> String {
        format!("files/photo-{at:08}.jpg")
    }

    fn section(folder: &std::path::Path) -> (Section, Arc<AtomicBool>) {
        let path = folder.join("archive.zip");
        let output = archive::FileOutput::create(&path, archive::Existing::Keep).unwrap();
        let writer = archive::ArchiveWriter::create(Box::new(output), Default::default()).unwrap();
        for at in 0..PARTS {
            let entry = archive::EntryName::new("uploads", &name(at)).unwrap();
            let mut part = writer.part(&entry, archive::Compression::Store).unwrap();
            part.write_all(b"photo").unwrap();
            let receipt = part.finish().unwrap();
            writer.list("uploads", receipt.id, at, &archive::Listed::rows(None)).unwrap();
        }
        let tool = archive::Tool { name: "tests".into(), version: "1.0".into() };
        let mut manifest = archive::Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
        manifest.nodes.push(archive::Node::new("uploads", "filesystem", 1));
        writer.seal(manifest).unwrap();
        let failed = Arc::new(AtomicBool::new(false));
        let file = Failing { file: std::fs::File::open(&path).unwrap(), failed: failed.clone() };
        let opened = Arc::new(archive::Archive::open(Arc::new(file)).unwrap());
        (Section::new(&opened, 0).unwrap(), failed)
    }

    #[test]
    fn a_section_whose_list_ended_early_is_not_sound() {
        let folder = tempfile::tempdir().unwrap();
        let (section, failed) = section(folder.path());
        assert_eq!(section.parts().count() as u64, PARTS);
        assert!(section.part(&PartName::new("none").unwrap()).is_none());
        section.sound().unwrap();
        let mut parts = section.parts();
        assert!(parts.next().is_some());
        failed.store(true, Ordering::Relaxed);
        let told = 1 + parts.count() as u64;
        assert!(told < PARTS, "the list is longer than what is read ahead");
        let error = section.sound().unwrap_err();
        assert_eq!(
            (error.kind(), error.node().map(ToString::to_string)),
            (ErrorKind::Environment, Some("uploads".into()))
        );
        // What has failed once stays so: a driver may have seen half of it.
        failed.store(false, Ordering::Relaxed);
        assert_eq!(section.parts().count() as u64, PARTS);
        assert!(section.sound().is_err());
    }

    #[test]
    fn a_part_that_could_not_be_looked_up_is_not_taken_for_one_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let (section, failed) = section(folder.path());
        let wanted = PartName::new(name(PARTS - 1)).unwrap();
        assert!(section.part(&wanted).is_some());
        failed.store(true, Ordering::Relaxed);
        assert!(section.part(&wanted).is_none());
        assert!(section.sound().is_err());
    }
}
