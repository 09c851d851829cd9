//! Verifying an archive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_archive as archive;
use dumprestore_driver::{Cancel, Error, Result};
use serde::Serialize;

use super::options::OpenArchive;
use crate::Observer;
use crate::archived::archive_error;
use crate::event::Event;
use crate::run::Run;

/// Progress of a verification is reported once for each of these.
const REPORT_EVERY: u64 = 16 << 20;

/// What a verification found: nothing amiss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Parts that were read.
    pub parts: u64,
    /// Bytes of content in them.
    pub content: u64,
    /// Bytes of the archive.
    pub bytes: u64,
}

/// Reads a whole archive and compares every byte with what the manifest says.
///
/// # Errors
/// [`ErrorKind::Archive`](crate::ErrorKind::Archive) with the entry named.
pub async fn verify(
    archive: &OpenArchive,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<VerifyReport> {
    let run = Run::new(observer, cancel);
    let set = archive.archive().manifest().set.clone();
    run.observer.event(&Event::Started { run: run.name.clone(), command: "verify", set });
    let verified = whole(archive, &run).await?;
    Ok(VerifyReport { parts: verified.parts, content: verified.content, bytes: verified.bytes })
}

/// Finds any changed byte; decompresses only if there is one, to name the entry.
pub(super) async fn bytes(archive: &OpenArchive, run: &Run) -> Result<()> {
    match blocking(archive, run, |archive, progress, cancelled| archive.verify_bytes(progress, cancelled))
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == dumprestore_driver::ErrorKind::Cancelled => Err(error),
        Err(error) => Err(whole(archive, run).await.err().unwrap_or(error)),
    }
}

async fn whole(archive: &OpenArchive, run: &Run) -> Result<archive::Verified> {
    let options = archive::VerifyOptions::default();
    blocking(archive, run, move |archive, progress, cancelled| archive.verify(&options, progress, cancelled))
        .await
}

async fn blocking<W>(archive: &OpenArchive, run: &Run, work: W) -> Result<archive::Verified>
where
    W: FnOnce(
            &archive::Archive,
            &(dyn Fn(archive::Progress) + Sync),
            &(dyn Fn() -> bool + Sync),
        ) -> archive::Result<archive::Verified>
        + Send
        + 'static,
{
    let (run, opened, label) = (run.clone(), archive.archive.clone(), archive.label.clone());
    let work = tokio::task::spawn_blocking(move || {
        let reported = AtomicU64::new(0);
        let progress = |progress: archive::Progress| {
            let step = progress.done / REPORT_EVERY;
            if reported.fetch_max(step, Ordering::Relaxed) < step {
                run.observer.event(&Event::Verifying { done: progress.done, total: progress.total });
            }
        };
        work(&opened, &progress, &|| run.stop.is_cancelled())
    });
    let verified = work.await.map_err(|error| Error::defect("verifying panicked").with_source(error))?;
    verified.map_err(|error| archive_error(error).with_context("archive", label))
}
