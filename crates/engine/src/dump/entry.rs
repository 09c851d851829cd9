//! One part on its way into the archive.

use std::io::Write;
use std::sync::Arc;

use dumprestore_archive::{ArchiveWriter, Compression, EntryId, EntryName};
use dumprestore_driver::{
    Cancel, CaptureId, Digest, Dumped, Error, NodePath, Part, PartName, PartSink, PartWriter, Receipt,
    Result, Source,
};
use tokio::sync::RwLock;

use crate::archived::{archive_error, write_error};
use crate::meter::Meter;

/// A source that lanes share. The engine takes it whole only between phases.
pub(super) type SharedSource = Arc<RwLock<Box<dyn Source>>>;

/// The name that a driver knows an entry by.
fn capture_of(entry: EntryId) -> CaptureId {
    CaptureId(entry.number().into())
}

/// The entry that a driver means by that name.
pub(super) fn entry_of(capture: CaptureId) -> Result<EntryId> {
    let number = u32::try_from(capture.0);
    number
        .map(EntryId::from_number)
        .map_err(|_| Error::defect("a driver named a capture that was never made"))
}

/// What all parts of a node have in common.
#[derive(Clone)]
pub(super) struct PartDumper {
    pub(super) archive: Arc<ArchiveWriter>,
    pub(super) source: SharedSource,
    pub(super) node: NodePath,
    pub(super) compression: Compression,
    pub(super) meter: Arc<Meter>,
    pub(super) cancel: Cancel,
}

impl PartDumper {
    /// Dumps a part, again and again while it is torn. `None` if it has vanished, else its entry and rows. Called on a
    /// lane.
    pub(super) fn dump(&self, part: &Part) -> Result<Option<(EntryId, Option<u64>)>> {
        loop {
            self.cancel.check()?;
            let mut sink = EntrySink::begin(self, &part.name)?;
            let ended = self.dump_into(part, &mut sink);
            let rows = match sink.failed.take().map_or(ended, Err)? {
                Dumped::Whole { rows } => rows,
                Dumped::Torn => {
                    sink.discard()?;
                    continue;
                }
                Dumped::Gone => {
                    sink.discard()?;
                    return Ok(None);
                }
            };
            let receipt = sink.finish()?;
            self.meter.add_part();
            return Ok(Some((entry_of(receipt.capture)?, rows)));
        }
    }

    fn dump_into(&self, part: &Part, sink: &mut EntrySink<'_>) -> Result<Dumped> {
        tokio::runtime::Handle::current().block_on(async {
            let source = self.source.read().await;
            let mut writer = PartWriter::new(sink);
            tokio::select! {
                ended = source.dump(part, &mut writer) => ended,
                () = self.cancel.cancelled() => Err(Error::cancelled()),
            }
        })
    }
}

/// Takes the bytes of a part. Keeps the first error, so that no driver can pass over it.
struct EntrySink<'a> {
    dumper: &'a PartDumper,
    writer: Option<dumprestore_archive::PartWriter>,
    receipt: Option<Receipt>,
    failed: Option<Error>,
}

impl<'a> EntrySink<'a> {
    fn begin(dumper: &'a PartDumper, part: &PartName) -> Result<Self> {
        let name = EntryName::new(dumper.node.as_str(), part.as_str()).map_err(archive_error)?;
        let writer = dumper.archive.part(&name, dumper.compression).map_err(archive_error)?;
        Ok(Self { dumper, writer: Some(writer), receipt: None, failed: None })
    }

    /// Leaves out of the archive what was written.
    fn discard(self) -> Result<()> {
        match self.receipt {
            Some(receipt) => self.dumper.archive.supersede(entry_of(receipt.capture)?).map_err(archive_error),
            None => Ok(()),
        }
    }

    fn keep(&mut self, error: Error) -> Error {
        let told = Error::new(error.kind(), error.message());
        self.failed.get_or_insert(error);
        told
    }

    fn try_finish(&mut self) -> Result<Receipt> {
        if let Some(receipt) = self.receipt {
            return Ok(receipt);
        }
        let writer =
            self.writer.take().ok_or_else(|| Error::defect("a part was ended after it had failed"))?;
        let made = writer.finish().map_err(archive_error)?;
        let receipt =
            Receipt { capture: capture_of(made.id), size: made.size, digest: Digest::new(made.sha256.0) };
        self.receipt = Some(receipt);
        Ok(receipt)
    }
}

impl PartSink for EntrySink<'_> {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        let written = self.dumper.cancel.check().and_then(|()| {
            let writer = self.writer.as_mut();
            let writer = writer.ok_or_else(|| Error::defect("a driver wrote to a part that it had ended"))?;
            writer.write_all(data).map_err(write_error)
        });
        match written {
            Ok(()) => {
                self.dumper.meter.add_bytes(data.len());
                Ok(())
            }
            Err(error) => Err(self.keep(error)),
        }
    }

    fn finish(&mut self) -> Result<Receipt> {
        self.try_finish().map_err(|error| self.keep(error))
    }
}
