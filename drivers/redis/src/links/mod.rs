//! Both ends of references.
//!
//! - [`Keys`] (`keys.rs`) is what a `keys:` declares, [`Within`] (`within.rs`) is what
//!   an `in:` does; [`Declared`] (`declared.rs`) has all of them.
//! - [`Spool`] (`spool.rs`) keeps references that were read, [`Gathering`] (`known.rs`) which keys there are: a stream is
//!   read once, and asked about later.

mod declared;
mod keys;
mod known;
mod spool;
mod within;

pub(crate) use declared::Declared;
pub(crate) use keys::{Found, Keys, Look};
pub(crate) use known::{Gathering, Known, hash};
pub(crate) use spool::{Spool, Spooled};
pub(crate) use within::Within;
