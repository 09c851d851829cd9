//! One bucket, by the store's own word.

use super::client::{S3Answer, S3Client};
use super::listing::{Element, S3Object, S3Upload, S3Version, page, value};
use crate::Trouble;

/// A bucket, to look into and to change as its owner would, with none of the code that is tested.
///
/// All of it panics where the store says no: what is to be refused is asked for by [`request`](Self::request).
#[derive(Clone)]
pub struct S3Bucket {
    client: S3Client,
    name: String,
}

impl S3Bucket {
    pub(super) fn new(client: S3Client, name: &str) -> Self {
        Self { client, name: name.to_owned() }
    }

    /// The same bucket, asked by way of something that stands before its store.
    pub fn by_way_of(&self, trouble: &Trouble) -> Self {
        Self { client: self.client.at(trouble.address()), name: self.name.clone() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, or that of the objects whose names begin with a prefix.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.name)
    }

    /// Any signed request, of an object, or of the bucket if `key` is empty. Nothing in the arguments is escaped.
    ///
    /// # Panics
    /// If the store does not answer.
    pub fn request(
        &self,
        method: &str,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> S3Answer {
        let answer = self.try_request(method, key, query, headers, body);
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, where it may be that there is no answer.
    ///
    /// # Errors
    /// What the connection came to.
    pub fn try_request(
        &self,
        method: &str,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<S3Answer, String> {
        let slash = if key.is_empty() { "" } else { "/" };
        self.client.request(method, &format!("/{}{slash}{key}", self.name), query, headers, body)
    }

    /// Writes an object, and gives its ETag.
    pub fn put(&self, key: &str, content: impl AsRef<[u8]>) -> String {
        self.put_with(key, content, &[])
    }

    /// The same with headers: `content-type`, `x-amz-meta-owner`, and so on.
    pub fn put_with(&self, key: &str, content: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> String {
        let answer = self.request("PUT", key, &[], headers, content.as_ref()).succeeded();
        answer.header("etag").expect("an ETag").to_owned()
    }

    /// What an object holds, if there is one.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.request("GET", key, &[], &[], b"").found().map(|answer| answer.body)
    }

    /// What one version of it holds, if there is one.
    pub fn get_version(&self, key: &str, id: &str) -> Option<Vec<u8>> {
        self.request("GET", key, &[("versionId", id)], &[], b"").found().map(|answer| answer.body)
    }

    /// An object's headers, if there is one.
    pub fn head(&self, key: &str) -> Option<S3Answer> {
        self.request("HEAD", key, &[], &[], b"").found()
    }

    /// Deletes an object. In a versioned bucket its versions stay.
    pub fn delete(&self, key: &str) {
        self.request("DELETE", key, &[], &[], b"").succeeded();
    }

    /// Deletes one version of an object for ever.
    pub fn delete_version(&self, key: &str, id: &str) {
        self.request("DELETE", key, &[("versionId", id)], &[], b"").succeeded();
    }

    /// All objects whose names begin so, in the order of names.
    pub fn list(&self, prefix: &str) -> Vec<S3Object> {
        let query = [("list-type", "2"), ("prefix", prefix)];
        let markers = [("NextContinuationToken", "continuation-token")];
        self.all(&query, &["Contents"], &markers, |element| element.object())
    }

    /// The names of all objects whose names begin so.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.list(prefix).into_iter().map(|object| object.key).collect()
    }

    /// All versions of objects whose names begin so, and what says that they were deleted: the newest of a name first.
    pub fn versions(&self, prefix: &str) -> Vec<S3Version> {
        let markers = [("NextKeyMarker", "key-marker"), ("NextVersionIdMarker", "version-id-marker")];
        let mut versions = self.all(
            &[("versions", ""), ("prefix", prefix)],
            &["Version", "DeleteMarker"],
            &markers,
            |element| element.version(),
        );
        // Some stores tell of deletions apart.
        versions.sort_by(|a, b| (&a.key, &b.modified, b.latest).cmp(&(&b.key, &a.modified, a.latest)));
        versions
    }

    /// Uploads in parts that were begun and not ended, of objects whose names begin so.
    pub fn uploads(&self, prefix: &str) -> Vec<S3Upload> {
        let markers = [("NextKeyMarker", "key-marker"), ("NextUploadIdMarker", "upload-id-marker")];
        self.all(&[("uploads", ""), ("prefix", prefix)], &["Upload"], &markers, |element| element.upload())
    }

    /// Begins an upload in parts, and gives its name.
    pub fn begin_upload(&self, key: &str) -> String {
        let answer = self.request("POST", key, &[("uploads", "")], &[], b"").succeeded();
        value(&answer.text(), "UploadId").expect("the name of an upload")
    }

    /// Sends a part of it, numbered from 1.
    pub fn upload_part(&self, key: &str, upload: &str, number: u32, content: &[u8]) {
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", upload)];
        self.request("PUT", key, &query, &[], content).succeeded();
    }

    /// Whether versions are kept: `Enabled`, or from now on not any more: `Suspended`.
    pub fn set_versioning(&self, status: &str) {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        self.request("PUT", "", &[("versioning", "")], &[], body.as_bytes()).succeeded();
    }

    /// What the store does by itself as time goes by: the rules, as AWS documents them, `<Rule>...</Rule>`.
    pub fn set_lifecycle(&self, rules: &str) {
        let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        self.request("PUT", "", &[("lifecycle", "")], &[], body.as_bytes()).succeeded();
    }

    /// Forbids that a version be deleted until then (`2030-01-01T00:00:00Z`), by anybody. For buckets with locks.
    pub fn lock_until(&self, key: &str, id: &str, time: &str) {
        let body = format!(
            "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>{time}</RetainUntilDate></Retention>"
        );
        let query = [("retention", ""), ("versionId", id)];
        self.request("PUT", key, &query, &[], body.as_bytes()).succeeded();
    }

    fn all<T>(
        &self,
        query: &[(&str, &str)],
        tags: &[&str],
        markers: &[(&str, &'static str)],
        item: impl Fn(&Element<'_, '_>) -> T,
    ) -> Vec<T> {
        let mut items = Vec::new();
        let mut next = Vec::new();
        loop {
            let mut query = query.to_vec();
            query.push(("encoding-type", "url"));
            query.extend(next.iter().map(|(name, marker): &(&str, String)| (*name, marker.as_str())));
            let answer = self.request("GET", "", &query, &[], b"").succeeded();
            let page = page(&answer.text(), tags, markers, &item);
            items.extend(page.items);
            if page.next.is_empty() {
                return items;
            }
            next = page.next;
        }
    }
}
