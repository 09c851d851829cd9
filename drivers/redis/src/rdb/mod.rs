//! The files and payloads in which Redis and Valkey keep their data: RDB, and what `DUMP` gives.
//!
//! From the top: [`Reader`] walks a file from front to back and gives its [`Item`]s; the value of a key is copied through, verbatim
//! ([`Reader::copy_value`]), and looked into on the way if anybody wants its elements ([`Reader::copy_elements`]). [`Writer`] makes a
//! file that a server loads. [`payload`] opens and closes what `DUMP` gives and `RESTORE` takes. [`elements`] takes apart a value in
//! memory. None of them holds more than one string at a time, and none believes a length before the bytes are there.
//!
//! Below: [`Kind`] is how a value is encoded, `walk` knows where it ends, `source` reads what all of them consist of (lengths,
//! strings), `packed` unpacks the lists that servers keep in one string, `lzf` undoes their compression. `weight` says what a value takes in memory.

mod checksum;
mod elements;
mod fuzzed;
mod input;
mod item;
mod kind;
mod lzf;
mod module;
mod packed;
pub(crate) mod payload;
mod reader;
mod slice;
mod source;
mod version;
mod walk;
pub(crate) mod weight;
mod writer;

pub(crate) use elements::{Element, elements};
pub use fuzzed::{look_into_payload, look_into_rdb, rewrite_rdb};
pub(crate) use item::{Entry, Item};
pub(crate) use kind::Kind;
pub(crate) use reader::Reader;
pub(crate) use version::Version;
pub(crate) use writer::Writer;

#[cfg(test)]
mod tests;
