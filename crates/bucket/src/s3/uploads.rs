//! Uploads in parts that were begun and neither finished nor aborted: they are in no listing, and cost as objects do.

use std::time::SystemTime;

use http::Method;
use opendal::Result;
use serde::Deserialize;

use super::call::{Call, Calls};
use super::refusal::Refusal;
use super::xml;

/// An upload that was begun and neither finished nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnfinishedUpload {
    /// What the object would be called, below the bucket's prefix.
    pub key: String,
    /// The server's name for the upload.
    pub id: String,
    /// When it was begun.
    pub initiated: SystemTime,
}

/// Whoever has more has them aborted by a rule of the bucket.
const MOST: usize = 100_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
    encoding_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: String,
}

impl Page {
    /// Not every server knows how to encode.
    fn key(&self, text: &str) -> Result<String> {
        match self.encoding_type.as_deref() {
            Some("url") => xml::key(text),
            _ => Ok(text.to_owned()),
        }
    }
}

impl Calls {
    /// Those whose whole key begins with `prefix`; their keys without it.
    pub(crate) async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>> {
        let mut found = Vec::new();
        let (mut key, mut id) = (String::new(), String::new());
        loop {
            let mut call = Call::of_bucket("ListMultipartUploads", "uploads")
                .with("encoding-type", "url")
                .with("prefix", prefix);
            if !key.is_empty() {
                call = call.with("key-marker", &key).with("upload-id-marker", &id);
            }
            let page: Page = xml::read(&self.ask(&call).await?)?;
            for upload in &page.uploads {
                let whole = page.key(&upload.key)?;
                // Some servers take no notice of the prefix.
                if let Some(key) = whole.strip_prefix(prefix) {
                    let initiated = xml::time(&upload.initiated)?;
                    found.push(UnfinishedUpload {
                        key: key.to_owned(),
                        id: upload.upload_id.clone(),
                        initiated,
                    });
                }
            }
            let next = (page.key(&page.next_key_marker)?, page.next_upload_id_marker.clone());
            let is_last = !page.is_truncated || next == (key.clone(), id.clone()) || next.0.is_empty();
            if is_last || found.len() >= MOST {
                return Ok(found);
            }
            (key, id) = next;
        }
    }

    /// Aborts that upload of the object with that whole key. One that is no longer there is no error.
    pub(crate) async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        let call = Call::new("AbortMultipartUpload", Method::DELETE, key, "").with("uploadId", id);
        match self.ask(&call).await {
            Ok(_) => Ok(()),
            Err(error)
                if Refusal::within(&error)
                    .is_some_and(|refusal| refusal.is_about_nothing(&["NoSuchUpload"])) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
