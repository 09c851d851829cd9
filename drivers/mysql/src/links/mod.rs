//! Both ends of references, on any session: of a pinned snapshot, or of a staged database.
//!
//! - [`query_of`] and [`read_keys`] (`keys.rs`): the keys that a query finds.
//! - [`Column`] (`column.rs`): which keys are those of no row. `kind.rs` knows what a key of each type looks like, and
//!   `charset.rs` how it stands in another character set.

mod charset;
mod column;
mod keys;
mod kind;
mod look;

pub(crate) use column::{Column, check_within, without_rows};
pub(crate) use keys::{check, query_of, read_keys};

#[cfg(test)]
mod tests;
