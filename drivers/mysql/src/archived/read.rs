//! Reading `contents.json`.

use std::io::Read;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Error, PartName, Result};

use super::{CONTENTS, Contents};

/// It is held in memory, and grows with the number of tables, not of rows: a hundred thousand of them fit, in bytes.
const LARGEST: u64 = 256 << 20;

/// Reads `contents.json`.
pub(crate) async fn read_contents(archived: Arc<dyn ArchivedNode>) -> Result<Contents> {
    let read = tokio::task::spawn_blocking(move || parse_contents(&*archived));
    read.await.map_err(|error| Error::defect("the `mysql` driver panicked").with_source(error))?
}

/// Reads `contents.json` on a thread that may block.
pub(crate) fn parse_contents(archived: &dyn ArchivedNode) -> Result<Contents> {
    let mut text = Vec::new();
    archived
        .read(&PartName::new(CONTENTS)?)?
        .take(LARGEST + 1)
        .read_to_end(&mut text)
        .map_err(|error| Error::io("can't read `contents.json` of the archive", error))?;
    if text.len() as u64 > LARGEST {
        return Err(Error::archive("`contents.json` of the archive is too large to be that")
            .with_context("more bytes than", LARGEST));
    }
    serde_json::from_slice(&text).map_err(|error| {
        Error::archive("`contents.json` of the archive is not well formed").with_source(error)
    })
}
