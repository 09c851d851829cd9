//! The shop of `demo`: a database whose rows name files, and a folder of these files.

mod shop;
mod writers;

pub(crate) use shop::{CONFIG, Count, Shop};
pub(crate) use writers::{Writers, Written};
