//! The driver for MySQL and MariaDB.

mod closest;
mod config;
mod connect;
mod quote;

pub use config::{Definers, MysqlConfig, NonTransactional};
