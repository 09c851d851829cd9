//! What references are declared from and to a server: they must be known before its stream is read, for that is read once.

use dumprestore_driver::Result;

use super::keys::Keys;
use super::within::Within;

/// All declarations that were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Where its keys refer to other nodes.
    pub(crate) keys: Vec<Keys>,
    /// What keys of it others refer to.
    pub(crate) within: Vec<Within>,
}

impl Declared {
    /// Notes a `keys:`, once. Offline.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it is none.
    pub(crate) fn note_keys(&mut self, keys: &serde_json::Value) -> Result<()> {
        let keys = Keys::of(keys)?;
        if !self.keys.contains(&keys) {
            self.keys.push(keys);
        }
        Ok(())
    }

    /// Notes an `in:`, or that there is none, once. Offline.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it is none.
    pub(crate) fn note_within(&mut self, within: Option<&str>) -> Result<()> {
        let within = Within::of(within)?;
        if !self.within.contains(&within) {
            self.within.push(within);
        }
        Ok(())
    }
}
