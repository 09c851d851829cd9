//! What a caller has to say of a part in the manifest.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::RECORD_BYTES;
use serde::Serialize;
use serde_json::value::RawValue;

/// What the manifest says of a part beside what the writer knows itself.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Listed {
    /// Rows, where the driver knows.
    pub rows: Option<u64>,
    pub(crate) meta: Option<Box<RawValue>>,
}

impl Listed {
    /// A part of so many rows.
    pub fn rows(rows: Option<u64>) -> Self {
        Self { rows, meta: None }
    }

    /// Sets the driver's own note on the part, which must be small: 256 KiB at the most.
    pub fn set_meta<T: Serialize>(&mut self, meta: &T) -> Result<()> {
        let raw = serde_json::value::to_raw_value(meta).map_err(|error| {
            Error::new(ErrorKind::Misuse, format!("the part's meta is not JSON: {error}"))
        })?;
        if raw.get().len() > RECORD_BYTES / 4 {
            return Err(Error::new(ErrorKind::Limit, "the part's meta is larger than 256 KiB"));
        }
        self.meta = Some(raw);
        Ok(())
    }
}
