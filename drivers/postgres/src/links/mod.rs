//! Both ends of references, on any session: of the pinned snapshot, or of a staged database.
//!
//! - [`query_of`] and [`read_keys`] (`keys.rs`): the keys that a query finds.
//! - [`Column`] (`column.rs`): which keys are those of no row.

mod column;
mod keys;

pub(crate) use column::{Column, check_within, without_rows};
pub(crate) use keys::{SearchPath, check, query_of, read_keys};
