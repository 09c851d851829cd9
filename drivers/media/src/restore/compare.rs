//! Whether a live object is what the archive has.

use dumprestore_driver::Result;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::headers::kept_by;
use super::identity::{Identity, plain};
use super::live::Live;
use super::objects::Objects;
use crate::line::ObjectLine;
use crate::reading::Read;

/// What a listing tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Same,
    Differs,
    /// It may be the same: what belongs to it stands in no listing.
    Perhaps,
}

/// Whether the live object needs no change.
pub(super) async fn is_same(objects: &Objects, line: &ObjectLine, live: &Live) -> Result<bool> {
    match told(line, &live.is) {
        Told::Same => Ok(true),
        Told::Differs => Ok(false),
        Told::Perhaps => match objects.look(&live.key).await? {
            Some(found) if line.part.is_none() => is_that_version(objects, line, &found).await,
            Some(found) => Ok(is_same_in_all(objects, line, &found)),
            None => Ok(false),
        },
    }
}

fn told(line: &ObjectLine, live: &Identity) -> Told {
    if line.size != live.size {
        return Told::Differs;
    }
    match (line.etag.as_deref().map(plain), &live.etag) {
        // What was written a while ago, and then not again, has what belonged to it.
        (Some(archived), Some(live_etag)) if archived == *live_etag => {
            match live.is_of_second(written(line)) && live.is_settled() {
                true => Told::Same,
                false => Told::Perhaps,
            }
        }
        (Some(one), Some(other)) if may_be_of_same_bytes(&one, other) && digest_in(line).is_some() => {
            Told::Perhaps
        }
        (Some(_), Some(_)) => Told::Differs,
        // Neither has one: a folder, whose times are fine enough.
        (None, None) if live.is_of_time(written(line)) => Told::Perhaps,
        _ => Told::Differs,
    }
}

/// Whether a live object is the version that a line without bytes means, or a copy of it.
async fn is_that_version(objects: &Objects, line: &ObjectLine, found: &Read) -> Result<bool> {
    if line.version.is_some() && found.state.version == line.version {
        return Ok(true);
    }
    let Some(version) = objects.look_at(&line.key, line.version.as_deref()).await? else { return Ok(false) };
    let (one, other) = (Identity::of(&version.state), Identity::of(&found.state));
    Ok(one.etag.is_some()
        && one.etag == other.etag
        && one.size == other.size
        && version.headers == found.headers)
}

fn is_same_in_all(objects: &Objects, line: &ObjectLine, found: &Read) -> bool {
    let can = objects.can();
    let same_content = match (line.etag.as_deref(), found.state.etag.as_deref()) {
        (Some(archived), Some(live)) if plain(archived) == plain(live) => true,
        // The digest that the application keeps with the object is among the metadata that are compared.
        (Some(archived), Some(live)) => {
            can.write_with_user_metadata
                && may_be_of_same_bytes(&plain(archived), &plain(live))
                && digest_in(line).is_some()
        }
        (None, None) => Identity::of(&found.state).is_of_time(written(line)),
        _ => false,
    };
    same_content
        && found.state.size == line.size
        && kept_by(&found.headers, &can) == kept_by(&line.headers, &can)
}

/// Whether two ETags that differ may be of the same bytes: not, if both are what digests of bytes look like. Metadata that name
/// a digest prove nothing then: who overwrites an object may keep them.
fn may_be_of_same_bytes(one: &str, other: &str) -> bool {
    let is_digest = |etag: &str| etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    !(is_digest(one) && is_digest(other))
}

/// The SHA-256 that the application keeps with the object, if it is the one of its content.
fn digest_in(line: &ObjectLine) -> Option<&str> {
    let digest = line.sha256?.to_string();
    line.headers.metadata.values().find(|value| value.eq_ignore_ascii_case(&digest)).map(String::as_str)
}

/// When the archived object was written, in nanoseconds since 1970.
fn written(line: &ObjectLine) -> Option<i128> {
    let time = OffsetDateTime::parse(line.modified.as_deref()?, &Rfc3339).ok()?;
    Some(time.unix_timestamp_nanos())
}
