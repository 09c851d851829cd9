//! The driver for MySQL and MariaDB.

mod archived;
mod closest;
mod config;
mod connect;
mod export;
mod links;
mod pattern;
mod quote;

pub use config::{Definers, MysqlConfig, NonTransactional};
