//! What belongs to an object beside its bytes, as a store takes and gives it.

use std::collections::BTreeMap;

use dumprestore_bucket::opendal::Capability;
use dumprestore_bucket::opendal::options::WriteOptions;

use crate::line::Headers;

/// To write an object with them, some parts of it at once.
pub(super) fn to_write(headers: Headers, concurrent: usize) -> WriteOptions {
    let user_metadata = (!headers.metadata.is_empty()).then(|| headers.metadata.into_iter().collect());
    WriteOptions {
        content_type: headers.content_type,
        cache_control: headers.cache_control,
        content_encoding: headers.content_encoding,
        content_disposition: headers.content_disposition,
        user_metadata,
        concurrent,
        ..WriteOptions::default()
    }
}

/// The same, as far as a store of these capabilities keeps them.
pub(super) fn kept_by(headers: &Headers, can: &Capability) -> Headers {
    let kept = |can: bool, text: &Option<String>| if can { text.clone() } else { None };
    Headers {
        content_type: kept(can.write_with_content_type, &headers.content_type),
        cache_control: kept(can.write_with_cache_control, &headers.cache_control),
        content_encoding: kept(can.write_with_content_encoding, &headers.content_encoding),
        content_disposition: kept(can.write_with_content_disposition, &headers.content_disposition),
        metadata: if can.write_with_user_metadata { headers.metadata.clone() } else { BTreeMap::new() },
        // Nothing is known of these that could be written; but what lacks them is another object.
        unreadable: headers.unreadable.clone(),
    }
}
