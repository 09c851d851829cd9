//! `objects.jsonl`: what a dump tells of each object.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use dumprestore_bucket::UNREADABLE;
use dumprestore_bucket::opendal::Metadata;
use dumprestore_driver::{ArchivedNode, Digest, Error, PartName, Result};
use serde::{Deserialize, Serialize};

/// The part that lists all objects, in the order of the bytes of their keys. It is the last one.
pub(crate) const LISTING: &str = "objects.jsonl";

/// Longer lines are none of ours: a key has 1,024 bytes, what belongs to an object some thousands.
const LONGEST_LINE: u64 = 1 << 20;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectLine {
    /// Its exact key, below the node's prefix.
    pub(crate) key: String,
    /// The part with its bytes; none with `mode: versions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<PartName>,
    /// In bytes.
    pub(crate) size: u64,
    /// As the store gave it, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
    /// The version that was read, or that is referred to. A store without versions has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Of the bytes, as they were read; none with `mode: versions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<Digest>,
    /// When it was written: RFC 3339, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) modified: Option<String>,
    /// What belongs to it.
    #[serde(flatten)]
    pub(crate) headers: Headers,
}

/// What a store keeps with an object, and gives out with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Headers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    /// User metadata: names in lower case, as stores have them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    /// Names of headers that the object has as well, and that are no ASCII: what they say is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unreadable: Vec<String>,
}

impl Headers {
    /// Those of an object that was read or looked at.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let mut own: BTreeMap<String, String> = metadata
            .user_metadata()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let unreadable = own.remove(UNREADABLE).unwrap_or_default();
        let mut unreadable: Vec<_> =
            unreadable.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        unreadable.sort_unstable();
        Self {
            content_type: owned(metadata.content_type()),
            cache_control: owned(metadata.cache_control()),
            content_encoding: owned(metadata.content_encoding()),
            content_disposition: owned(metadata.content_disposition()),
            metadata: own,
            unreadable,
        }
    }
}

impl ObjectLine {
    /// With its line end.
    pub(crate) fn to_line(&self) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)
            .map_err(|error| Error::defect("can't write an object down").with_source(error))?;
        line.push(b'\n');
        Ok(line)
    }
}

/// The lines of an archived node, one at a time.
pub(crate) struct Lines {
    from: BufReader<Box<dyn Read + Send>>,
    number: u64,
    last: Option<String>,
    line: Vec<u8>,
}

impl Lines {
    /// # Errors
    /// If the node has no list, or it can't be read.
    pub(crate) fn of(archived: &dyn ArchivedNode) -> Result<Self> {
        let from = archived.read(&PartName::new(LISTING)?)?;
        Ok(Self { from: BufReader::with_capacity(64 * 1024, from), number: 0, last: None, line: Vec::new() })
    }

    fn read(&mut self) -> Result<Option<ObjectLine>> {
        self.line.clear();
        self.number += 1;
        let most = LONGEST_LINE + 1;
        let length = (&mut self.from).take(most).read_until(b'\n', &mut self.line);
        let length = length.map_err(|error| Error::io(format!("can't read `{LISTING}`"), error))?;
        match length as u64 {
            0 => return Ok(None),
            length if length == most => return Err(self.wrong("it is too long")),
            _ => {}
        }
        let line: ObjectLine = serde_json::from_slice(&self.line)
            .map_err(|error| self.wrong("it can't be understood").with_source(error))?;
        // Whoever goes through two lists side by side relies on it; and no key comes twice.
        if self.last.as_ref().is_some_and(|last| *last >= line.key) {
            return Err(self.wrong("its key is not after that of the line before"));
        }
        if line.key.is_empty() {
            return Err(self.wrong("its key is empty"));
        }
        self.last = Some(line.key.clone());
        Ok(Some(line))
    }

    fn wrong(&self, why: &str) -> Error {
        Error::archive(format!("a line of `{LISTING}` is not as it should be: {why}"))
            .with_context("line", self.number)
    }
}

impl Iterator for Lines {
    type Item = Result<ObjectLine>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(key: &str) -> ObjectLine {
        ObjectLine {
            key: key.to_owned(),
            part: None,
            size: 3,
            etag: None,
            version: None,
            sha256: None,
            modified: None,
            headers: Headers::default(),
        }
    }

    fn lines(text: &str) -> Vec<Result<ObjectLine>> {
        let from: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        Lines { from: BufReader::new(from), number: 0, last: None, line: Vec::new() }.collect()
    }

    #[test]
    fn a_line_says_only_what_there_is() {
        let line = plain("a\n\u{1}").to_line().unwrap();
        assert_eq!(line, b"{\"key\":\"a\\n\\u0001\",\"size\":3}\n");
        let mut full = plain("k");
        full.part = Some(crate::key::part_name("k").unwrap());
        full.headers.content_type = Some("image/png".into());
        full.headers.metadata.insert("by".into(), "ü".into());
        let written = String::from_utf8(full.to_line().unwrap()).unwrap();
        assert_eq!(lines(&written).pop().unwrap().unwrap(), full);
    }

    #[test]
    fn lines_out_of_order_twice_or_with_more_than_we_know_are_refused() {
        for text in [
            "{\"key\":\"b\",\"size\":1}\n{\"key\":\"a\",\"size\":1}\n",
            "{\"key\":\"a\",\"size\":1}\n{\"key\":\"a\",\"size\":1}\n",
            "{\"key\":\"\",\"size\":1}\n",
            "{\"key\":\"a\"}\n",
            "no json\n",
        ] {
            assert!(lines(text).into_iter().any(|line| line.is_err()), "{text}");
        }
        assert!(lines("{\"key\":\"a\",\"size\":1}\n{\"key\":\"b\",\"size\":1}\n").iter().all(Result::is_ok));
    }
}
