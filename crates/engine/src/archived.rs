//! The archive as the engine and its drivers see it.

use std::io::Read;
use std::sync::Arc;

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

/// An error of the archive as one of ours.
pub(crate) fn archive_error(error: archive::Error) -> Error {
    let kind = match error.kind() {
        archive::ErrorKind::Io | archive::ErrorKind::Exists => ErrorKind::Environment,
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
}

impl Section {
    /// The section of the node at that index of the manifest.
    pub(crate) fn new(archive: &Arc<archive::Archive>, at: usize) -> Result<Self> {
        let node = archive.manifest().nodes.get(at).ok_or_else(|| Error::defect("there is no such node"))?;
        let path = NodePath::new(node.path.as_str()).map_err(|error| error.with_kind(ErrorKind::Archive))?;
        for part in &node.parts {
            PartName::new(&*part.name).map_err(|error| error.with_node(&path))?;
        }
        Ok(Self { archive: archive.clone(), path, at })
    }

    fn node(&self) -> &archive::Node {
        // `new` has checked the index, and the manifest never changes.
        &self.archive.manifest().nodes[self.at]
    }
}

fn archived_part(part: &archive::Part) -> Option<ArchivedPart> {
    let name = PartName::new(&*part.name).ok()?;
    Some(ArchivedPart::new(name, part.size, Digest::new(part.sha256.0)).with_rows(part.rows))
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
        Box::new(self.node().parts.iter().filter_map(archived_part))
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
