//! One object into its place among what is staged.

use std::io::Read;
use std::sync::PoisonError;

use dumprestore_driver::{ArchivedPart, Cancel, Error, Result};

use super::archived::Wanted;
use super::upload::{CHUNK, Upload};
use super::{Loading, Work};

/// What uploads hold in memory all together, in units.
pub(super) const ROOM: usize = 128;
/// Bytes of a unit: all together they are 32 MiB.
const UNIT: usize = 256 << 10;
/// Larger objects are sent in chunks, two of them at once.
const LARGE: u64 = 64 << 20;

impl Work {
    /// Stages the object of a part, if it is needed.
    pub(super) async fn load(
        &self,
        loading: &Loading,
        part: &ArchivedPart,
        from: &mut (dyn Read + Send),
    ) -> Result<()> {
        let claimed = {
            let mut claims = loading.claims.lock().unwrap_or_else(PoisonError::into_inner);
            claims.claim(&part.name, &loading.needed)?
        };
        let Some(wanted) = claimed else { return Ok(()) };
        if wanted.line.size != part.size {
            return Err(Error::archive("the archive's list gives an object another size than its part has")
                .with_context("part", &part.name));
        }
        let permits = u32::try_from(room_for(part.size)).unwrap_or(u32::MAX);
        let room = loading.room.acquire_many(permits).await;
        let _room =
            room.map_err(|error| Error::defect("the room for uploads was closed").with_source(error))?;
        self.stage(&wanted, from).await
    }

    /// Uploads an object to where it is staged.
    pub(super) async fn stage(&self, wanted: &Wanted, from: &mut (dyn Read + Send)) -> Result<()> {
        let line = &wanted.line;
        self.tally.note_headers(&line.headers, &self.objects.can());
        let concurrent = if line.size > LARGE { 2 } else { 1 };
        let upload = self.objects.upload(&self.place.new_object(wanted.number), &line.headers, concurrent)?;
        send(upload.of_size(line.size), line.size, from, &self.cx.cancel).await
    }
}

/// How much memory an upload of that size takes, in units.
fn room_for(size: u64) -> usize {
    let chunks = if size > LARGE { 4 } else { 2 };
    let bytes = usize::try_from(size).unwrap_or(usize::MAX).min(chunks * CHUNK);
    bytes.div_ceil(UNIT).clamp(1, ROOM)
}

async fn send(mut upload: Upload, size: u64, from: &mut (dyn Read + Send), cancel: &Cancel) -> Result<()> {
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(4 << 10, UNIT)];
    let mut sent = 0;
    loop {
        let read = cancel.check().and_then(|()| {
            from.read(&mut buffer).map_err(|error| Error::io("can't read the archive", error))
        });
        match read {
            // The reader has checked by now that it is what was dumped.
            Ok(0) => break,
            Ok(count) => {
                upload.push(buffer.get(..count).unwrap_or_default()).await?;
                sent += count as u64;
            }
            Err(error) => return upload.abandon(error).await,
        }
    }
    if sent != size {
        let error = Error::archive("a part is of another size than the archive says");
        return upload.abandon(error.with_context("size", size).with_context("read", sent)).await;
    }
    // Whether it is there is looked at in `prepare`, of all at once.
    upload.finish().await
}
