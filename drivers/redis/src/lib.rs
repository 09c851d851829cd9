//! The driver for Redis and Valkey.

mod config;
mod connect;
mod driver;
mod dump;
mod glob;
mod inspect;
mod links;
mod rdb;
mod restore;

pub use config::{All, Databases, Expiry, Mode, RedisConfig};
#[doc(hidden)]
pub use rdb::{look_into_payload, look_into_rdb, rewrite_rdb};
