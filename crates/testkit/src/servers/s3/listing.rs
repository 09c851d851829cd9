//! What a store says is there.

use percent_encoding::percent_decode_str;
use roxmltree::{Document, Node};

/// An object, as a listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Object {
    /// Its name.
    pub key: String,
    /// Its ETag, with quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// When it was written: `2026-11-22T04:25:35.000Z`.
    pub modified: String,
}

/// A version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Version {
    /// The object's name.
    pub key: String,
    /// Its own.
    pub id: String,
    /// Whether it is the one that there is now.
    pub latest: bool,
    /// Whether it says that there was no object from then on.
    pub deleted: bool,
    /// Its ETag, with quotes; nothing if [`deleted`](Self::deleted).
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified: String,
}

/// An upload in parts that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Upload {
    /// The name of the object-to-be.
    pub key: String,
    /// Its own.
    pub id: String,
    /// When it was begun.
    pub initiated: String,
}

/// A page of a listing.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// What to ask for the next with, if there is one: names of markers, and markers.
    pub(super) next: Vec<(&'static str, String)>,
}

/// Reads a page whose items have these names. `markers` are what a page ends with, and what the next is asked for with.
pub(super) fn page<T>(
    text: &str,
    tags: &[&str],
    markers: &[(&str, &'static str)],
    item: impl Fn(&Element<'_, '_>) -> T,
) -> Page<T> {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let root = document.root_element();
    let escaped = child(root, "EncodingType") == "url";
    let elements = root.children().filter(|node| tags.contains(&node.tag_name().name()));
    let items = elements.map(|node| item(&Element { node, escaped })).collect();
    let root = Element { node: root, escaped };
    let mut next = Vec::new();
    if root.text("IsTruncated") == "true" {
        next = markers.iter().map(|(tag, name)| (*name, root.key(tag))).collect();
        next.retain(|(_, marker)| !marker.is_empty());
        assert!(!next.is_empty(), "a listing that goes on nowhere: {text}");
    }
    Page { items, next }
}

/// One element of a document, in what its names are escaped for.
pub(super) struct Element<'a, 'input> {
    node: Node<'a, 'input>,
    escaped: bool,
}

impl Element<'_, '_> {
    pub(super) fn text(&self, tag: &str) -> String {
        child(self.node, tag).to_owned()
    }

    /// Names of objects have characters that XML has not, and are escaped like a form.
    pub(super) fn key(&self, tag: &str) -> String {
        let text = child(self.node, tag);
        if !self.escaped {
            return text.to_owned();
        }
        percent_decode_str(&text.replace('+', " ")).decode_utf8().expect("a name in UTF-8").into_owned()
    }

    pub(super) fn object(&self) -> S3Object {
        S3Object {
            key: self.key("Key"),
            etag: self.text("ETag"),
            size: self.text("Size").parse().unwrap_or(0),
            modified: self.text("LastModified"),
        }
    }

    pub(super) fn version(&self) -> S3Version {
        S3Version {
            key: self.key("Key"),
            id: self.text("VersionId"),
            latest: self.text("IsLatest") == "true",
            deleted: self.node.tag_name().name() == "DeleteMarker",
            etag: self.text("ETag"),
            size: self.text("Size").parse().unwrap_or(0),
            modified: self.text("LastModified"),
        }
    }

    pub(super) fn upload(&self) -> S3Upload {
        S3Upload { key: self.key("Key"), id: self.text("UploadId"), initiated: self.text("Initiated") }
    }
}

/// A value in a document that has it once.
pub(super) fn value(text: &str, tag: &str) -> Option<String> {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let found = document.descendants().find(|node| node.tag_name().name() == tag);
    found.map(|node| node.text().unwrap_or_default().to_owned())
}

fn child<'a>(node: Node<'a, '_>, tag: &str) -> &'a str {
    let found = node.children().find(|node| node.tag_name().name() == tag);
    found.and_then(|node| node.text()).unwrap_or_default()
}
