//! All parts of a node, each on a lane, into its staging.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use dumprestore_driver::{ArchivedNode, ArchivedPart, Cancel, Error, NodePath, PartReader, Result};

use super::transaction::SharedStaging;
use crate::Observer;
use crate::archived::Section;
use crate::lanes::Lanes;
use crate::meter::Meter;

/// How long a driver has to end a load by itself once it is to stop.
const GRACE: Duration = Duration::from_secs(15);

/// The load of one node.
pub(super) struct Load {
    pub(super) node: NodePath,
    pub(super) section: Arc<Section>,
    pub(super) staging: SharedStaging,
    /// Ends it.
    pub(super) stop: Cancel,
}

impl Load {
    /// Gives how many bytes and parts were loaded.
    pub(super) async fn run(self, lanes: &Lanes, observer: &Arc<dyn Observer>) -> Result<(u64, u64)> {
        let ((bytes, count), keeps_order) = {
            let staging = self.staging.read().await;
            let wanted = self.section.parts().filter(|part| staging.wants(part));
            let add =
                |(bytes, count): (u64, u64), part: ArchivedPart| (bytes.saturating_add(part.size), count + 1);
            (wanted.fold((0, 0), add), staging.keeps_order())
        };
        let stretches = if keeps_order { 1 } else { lanes.count.get() };
        let meter = Meter::begin(observer, &self.node, "load", (Some(bytes), Some(count)));
        let parts = futures_util::stream::iter(self.section.apart(stretches)?);
        let loader =
            Loader { section: self.section, staging: self.staging, meter: meter.clone(), stop: self.stop };
        let loaded = lanes.run(parts, move |part| loader.load(&part)).await;
        loaded.map_err(|error| error.with_node(&self.node))?;
        meter.finish();
        Ok((bytes, count))
    }
}

/// What all parts of a node have in common while they are loaded.
struct Loader {
    section: Arc<Section>,
    staging: SharedStaging,
    meter: Arc<Meter>,
    stop: Cancel,
}

impl Loader {
    /// Loads one part, if it is wanted. Called on a lane.
    fn load(&self, part: &ArchivedPart) -> Result<()> {
        self.stop.check()?;
        if !tokio::runtime::Handle::current().block_on(self.staging.read()).wants(part) {
            return Ok(());
        }
        let mut stream = Metered { stream: self.section.read(&part.name)?, loader: self, failed: None };
        let loaded = tokio::runtime::Handle::current().block_on(async {
            let staging = self.staging.read().await;
            let mut reader = PartReader::new(&mut stream);
            let mut loading = staging.load(part, &mut reader);
            tokio::select! {
                loaded = &mut loading => loaded,
                // A driver may have to tell what it feeds that this is no proper end: it gets the time for it.
                () = self.stop.cancelled() => match tokio::time::timeout(GRACE, loading).await {
                    Ok(loaded) => loaded,
                    Err(_) => Err(Error::cancelled()),
                },
            }
        });
        // A driver may not pass over a part that can't be read.
        stream.failed.take().map_or(loaded, Err)?;
        self.meter.add_part();
        Ok(())
    }
}

/// Counts what is read, heeds the wish to stop, and keeps the first error.
struct Metered<'a> {
    stream: Box<dyn Read + Send>,
    loader: &'a Loader,
    failed: Option<Error>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self
            .loader
            .stop
            .check()
            .and_then(|()| self.stream.read(buffer).map_err(crate::archived::read_error));
        match read {
            Ok(count) => {
                self.loader.meter.add_bytes(count);
                Ok(count)
            }
            Err(error) => {
                let told = Error::new(error.kind(), error.message());
                self.failed.get_or_insert(error);
                Err(told.into())
            }
        }
    }
}
