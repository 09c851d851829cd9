//! The driver for Redis and Valkey.

mod config;
mod connect;
mod dump;
mod glob;
mod inspect;
mod links;
mod rdb;
mod restore;

pub use config::{All, Databases, Expiry, Mode, RedisConfig};
